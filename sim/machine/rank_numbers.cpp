#include "sim/machine/rank_numbers.h"

namespace tplab {

namespace {

// What a collective makes of a number, move(x: [1], f64).
template <class Move>
double moved(Rank& rank, double value, Move move) {
  const HostSpan number{DType::f64, &value, 1};
  Array x = rank.device().allocate(DType::f64, {1});
  rank.device().upload(number, x);
  move(x);
  rank.device().download(x, number);
  return value;
}

}  // namespace

double from_rank_0(Rank& rank, double value) {
  const auto scope = rank.at("what rank 0 says");
  return moved(rank, value, [&](Array& x) {
    rank.comm().broadcast(x, 0);     // of each replica, its first rank's
    rank.dp_comm().broadcast(x, 0);  // of these, the first replica's
  });
}

double most_of_ranks(Rank& rank, double value) {
  const auto scope = rank.at("most of ranks");
  return moved(rank, value, [&](Array& x) {
    rank.comm().all_reduce(x, Reduce::max);
    rank.dp_comm().all_reduce(x, Reduce::max);
  });
}

double least_of_ranks(Rank& rank, double value) { return -most_of_ranks(rank, -value); }

double sum_over_group(Rank& rank, double value) {
  const auto scope = rank.at("sum over ranks");
  return moved(rank, value, [&](Array& x) { rank.comm().all_reduce(x); });
}

}  // namespace tplab
