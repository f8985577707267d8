#include "sim/collectives.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::untyped {

namespace {
int64_t shard_size(Rank& rank, const Array& x) {
  const int64_t whole = x.shape()[-1];
  if (whole % rank.size() != 0) {
    throw Error(ErrorKind::run,
                fmt::format("{}: the last size of {} does not divide by {} ranks",
                            rank.site()->path(), x.shape().text(), rank.size()),
                "pad the tensor, or choose a tp that divides it");
  }
  return whole / rank.size();
}
}  // namespace

Array all_reduce(Rank& rank, Array x) {
  if (rank.size() == 1) return x;
  if (!x.unique()) {  // somebody else still reads the partial sum
    Array copy = rank.device().allocate(x.dtype(), x.shape());
    rank.device().copy(x.data(), copy.data(), x.bytes());
    x = std::move(copy);
  }
  rank.comm().all_reduce(x);
  return x;
}

Array all_gather(Rank& rank, const Array& shard, int64_t keep) {
  const int64_t n = rank.size(), k = shard.shape()[-1], rows = shard.shape().rows();
  if (keep == 0) keep = n * k;
  if (n == 1 && keep == k) return shard;
  Array shards = shard;
  if (n > 1) {
    shards = rank.device().allocate(shard.dtype(), Shape{n, rows, k});
    rank.comm().all_gather(shard, shards);
  }
  Array whole = rank.device().allocate(shard.dtype(), shard.shape().with_last(keep));
  rank.device().join_shards(shards.reshaped({n, rows, k}), whole);
  return whole;
}

Array reduce_scatter(Rank& rank, const Array& x) {
  if (rank.size() == 1) return x;
  const int64_t k = shard_size(rank, x);
  Array shards = rank.device().allocate(x.dtype(), Shape{rank.size(), x.shape().rows(), k});
  rank.device().cut_shards(x, 0, shards);
  Array shard = rank.device().allocate(x.dtype(), x.shape().with_last(k));
  rank.comm().reduce_scatter(shards, shard);
  return shard;
}

Array slice_of_rank(Rank& rank, const Array& x) {
  if (rank.size() == 1) return x;
  const int64_t k = shard_size(rank, x), rows = x.shape().rows();
  Array shard = rank.device().allocate(x.dtype(), Shape{1, rows, k});
  rank.device().cut_shards(x, rank.index(), shard);
  return shard.reshaped(x.shape().with_last(k));
}

}  // namespace tplab::untyped
