// The collectives, typed: the only way from one placement to another.
//
//   forward                                  what runs        backward (the next issue's)
//   enter        Invariant -> Replicated     nothing          all-reduce      (Megatron's f)
//   leave        Partial   -> Invariant      all-reduce       nothing         (Megatron's g)
//   gather       Varying   -> Replicated     all-gather       reduce-scatter
//   scatter_sum  Partial   -> Varying        reduce-scatter   all-gather
//   split        Invariant -> Varying        a local slice    all-gather
//
// source: Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2
// Shards are parts of the last dimension. S below is the bytes of the whole tensor, n the ranks.
#pragma once

#include "sim/tensor.h"

namespace tplab {

namespace untyped {
Array all_reduce(Rank& rank, Array x);
Array all_gather(Rank& rank, const Array& shard, int64_t keep);
Array reduce_scatter(Rank& rank, const Array& x);
Array slice_of_rank(Rank& rank, const Array& x);
}  // namespace untyped

// States that shards are about to read x, so that each rank's gradient will be one term of a sum.
inline Tensor<Replicated> enter(const Tensor<Invariant>& x) {
  return assume_placement<Replicated>(x);
}

// The sum over ranks; the same bits on every rank. A ring sends 2 (n-1)/n S bytes a rank.
inline Tensor<Invariant> leave(Tensor<Partial> x) {
  Rank& rank = x.rank();
  return assume_placement<Invariant>(rank, untyped::all_reduce(rank, std::move(x).take()));
}

// The whole tensor on every rank; sends (n-1)/n S bytes a rank.   x: [.., k]   ->   [.., n k]
// `keep` drops what lies past that many of the last dimension (a padded vocabulary); 0 keeps all.
inline Tensor<Replicated> gather(const Tensor<Varying>& x, int64_t keep = 0) {
  return assume_placement<Replicated>(x.rank(), untyped::all_gather(x.rank(), x.array(), keep));
}

// This rank's part of the sum over ranks; sends (n-1)/n S bytes a rank.   [.., n k]   ->   [.., k]
inline Tensor<Varying> scatter_sum(const Tensor<Partial>& x) {
  return assume_placement<Varying>(x.rank(), untyped::reduce_scatter(x.rank(), x.array()));
}

// This rank's part; nothing is sent.   x: [.., n k]   ->   [.., k]
inline Tensor<Varying> split(const Tensor<Invariant>& x) {
  return assume_placement<Varying>(x.rank(), untyped::slice_of_rank(x.rank(), x.array()));
}

}  // namespace tplab
