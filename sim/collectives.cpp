#include "sim/collectives.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/ops/list.h"

namespace tplab::untyped {

namespace {

// T/n for x: [B, T, C].
int64_t positions_per_rank(Rank& rank, const Array& x) {
  const int64_t T = x.shape().dims() == 3 ? x.shape()[1] : 0;
  if (T < 1 || T % rank.size() != 0) {
    throw Error(ErrorKind::run,
                fmt::format("{}: the positions of {} do not divide by {} ranks",
                            rank.site()->path(), x.shape().text(), rank.size()),
                "sequence parallelism needs [B, T, C] with T a multiple of tp");
  }
  return T / rank.size();
}

}  // namespace

Array all_reduce(Rank& rank, Array x, Reduce reduce, CallSite where) {
  if (rank.size() == 1) return x;
  if (!x.unique()) {  // somebody else still reads the partial sum
    Array copy = rank.device().allocate(x.dtype(), x.shape());
    rank.device().copy(x.data(), copy.data(), x.bytes());
    x = std::move(copy);
  }
  rank.comm().all_reduce(x, reduce, where);
  return x;
}

Array all_gather(Rank& rank, const Array& shard, int64_t keep, CallSite where) {
  const int64_t n = rank.size(), k = shard.shape()[-1], rows = shard.shape().rows();
  if (keep == 0) keep = n * k;
  if (n == 1 && keep == k) return shard;
  Array shards = shard;
  if (n > 1) {
    shards = rank.device().allocate(shard.dtype(), Shape{n, rows, k});
    rank.comm().all_gather(shard, shards, where);
  }
  Array whole = rank.device().allocate(shard.dtype(), shard.shape().with_last(keep));
  rank.device().run(op::JoinShards{shards.reshaped({n, rows, k}), whole});
  return whole;
}

// A sequence's positions lie one after the other: along T a [B, T, C] is cut and joined like a
// [B, T C] along its last dimension.

Array all_gather_positions(Rank& rank, const Array& shard, CallSite where) {
  if (rank.size() == 1) return shard;
  const int64_t n = rank.size(), B = shard.shape()[0], T = n * shard.shape()[1];
  const int64_t C = shard.shape()[2];
  Array shards = rank.device().allocate(shard.dtype(), Shape{n, B, T / n * C});
  rank.comm().all_gather(shard, shards, where);
  if (B == 1) return shards.reshaped({B, T, C});
  Array whole = rank.device().allocate(shard.dtype(), Shape{B, T * C});
  rank.device().run(op::JoinShards{shards, whole});
  return whole.reshaped({B, T, C});
}

Array reduce_scatter_positions(Rank& rank, const Array& x, CallSite where) {
  if (rank.size() == 1) return x;
  const int64_t mine = positions_per_rank(rank, x), B = x.shape()[0], C = x.shape()[2];
  Array shards = x.reshaped({B, x.shape()[1] * C});
  if (B > 1) {
    shards = rank.device().allocate(x.dtype(), Shape{rank.size(), B, mine * C});
    rank.device().run(op::CutShards{x.reshaped({B, x.shape()[1] * C}), 0, shards});
  }
  Array shard = rank.device().allocate(x.dtype(), Shape{B, mine, C});
  rank.comm().reduce_scatter(shards, shard, where);
  return shard;
}

Array positions_of_rank(Rank& rank, const Array& x) {
  if (rank.size() == 1) return x;
  const int64_t mine = positions_per_rank(rank, x), B = x.shape()[0], C = x.shape()[2];
  Array shard = rank.device().allocate(x.dtype(), Shape{1, B, mine * C});
  rank.device().run(op::CutShards{x.reshaped({B, x.shape()[1] * C}), rank.index(), shard});
  return shard.reshaped({B, mine, C});
}

}  // namespace tplab::untyped
