#include "sim/machine/from_rank_0.h"

namespace tplab {

double from_rank_0(Rank& rank, double value) {
  const auto scope = rank.at("what rank 0 says");
  const HostSpan number{DType::f64, &value, 1};
  Array x = rank.device().allocate(DType::f64, {1});
  rank.device().upload(number, x);
  rank.comm().broadcast(x, 0);     // of each replica, its first rank's
  rank.dp_comm().broadcast(x, 0);  // of these, the first replica's
  rank.device().download(x, number);
  return value;
}

double sum_over_ranks(Rank& rank, double value) {
  const auto scope = rank.at("sum over ranks");
  const HostSpan number{DType::f64, &value, 1};
  Array x = rank.device().allocate(DType::f64, {1});
  rank.device().upload(number, x);
  rank.comm().all_reduce(x);
  rank.device().download(x, number);
  return value;
}

}  // namespace tplab
