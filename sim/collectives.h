// The collectives, typed: the only way from one placement to another.
//
//   forward                                     what runs        backward
//   enter        Invariant -> Replicated        nothing          all-reduce      (Megatron's f)
//   leave        Partial   -> Invariant         all-reduce       nothing         (Megatron's g)
//   gather       VaryingT  -> Replicated        all-gather       reduce-scatter
//   scatter_sum  Partial   -> VaryingT          reduce-scatter   all-gather
//   split        Invariant -> VaryingT          a local slice    all-gather
//   gather       Varying   -> Replicated        all-gather       (inference only)
//
// source: Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2
// Varying shards are parts of the last dimension, VaryingT shards parts of T in [B, T, C]. S below
// is the bytes of the whole tensor, n the ranks. `where` is for a recorder.
#pragma once

#include "sim/tensor.h"

namespace tplab {

namespace untyped {
Array all_reduce(Rank& rank, Array x, Reduce reduce, CallSite where);
Array all_gather(Rank& rank, const Array& shard, int64_t keep, CallSite where);
Array all_gather_positions(Rank& rank, const Array& shard, CallSite where);
Array reduce_scatter_positions(Rank& rank, const Array& x, CallSite where);
Array positions_of_rank(Rank& rank, const Array& x);
}  // namespace untyped

// States that shards are about to read x, so that each rank's gradient will be one term of a sum.
inline Tensor<Replicated> enter(const Tensor<Invariant>& x) {
  return assume_placement<Replicated>(x);
}
inline Grad<Invariant> enter_backward(Grad<Replicated> dy, CallSite where = here()) {
  Rank& rank = dy.rank();
  return assume_placement<Invariant>(
      rank, untyped::all_reduce(rank, std::move(dy).take(), Reduce::sum, where));
}

// The sum over ranks; the same bits on every rank. A ring sends 2 (n-1)/n S bytes a rank.
inline Tensor<Invariant> leave(Tensor<Partial> x, CallSite where = here()) {
  Rank& rank = x.rank();
  return assume_placement<Invariant>(
      rank, untyped::all_reduce(rank, std::move(x).take(), Reduce::sum, where));
}
inline Grad<Partial> leave_backward(const Grad<Invariant>& dy) {
  return assume_placement<Replicated>(dy);
}

// Every rank's positions, in order; sends (n-1)/n S bytes a rank.   [B, T/n, C]   ->   [B, T, C]
inline Tensor<Replicated> gather(const Tensor<VaryingT>& x, CallSite where = here()) {
  return assume_placement<Replicated>(x.rank(),
                                      untyped::all_gather_positions(x.rank(), x.array(), where));
}
inline Grad<VaryingT> gather_backward(const Grad<Replicated>& dy, CallSite where = here()) {
  return assume_placement<VaryingT>(
      dy.rank(), untyped::reduce_scatter_positions(dy.rank(), dy.array(), where));
}

// This rank's positions of the sum over ranks; sends (n-1)/n S bytes a rank.
//   x: [B, T, C]   ->   [B, T/n, C]
inline Tensor<VaryingT> scatter_sum(const Tensor<Partial>& x, CallSite where = here()) {
  return assume_placement<VaryingT>(x.rank(),
                                    untyped::reduce_scatter_positions(x.rank(), x.array(), where));
}
inline Grad<Partial> scatter_sum_backward(const Grad<VaryingT>& dy, CallSite where = here()) {
  return assume_placement<Replicated>(dy.rank(),
                                      untyped::all_gather_positions(dy.rank(), dy.array(), where));
}

// This rank's positions; nothing is sent.   x: [B, T, C]   ->   [B, T/n, C]
inline Tensor<VaryingT> split(const Tensor<Invariant>& x) {
  return assume_placement<VaryingT>(x.rank(), untyped::positions_of_rank(x.rank(), x.array()));
}
inline Grad<Invariant> split_backward(const Grad<VaryingT>& dy, CallSite where = here()) {
  return assume_placement<Invariant>(dy.rank(),
                                     untyped::all_gather_positions(dy.rank(), dy.array(), where));
}

// The whole tensor on every rank; sends (n-1)/n S bytes a rank.   x: [.., k]   ->   [.., n k]
// `keep` drops what lies past that many of the last dimension (a padded vocabulary); 0 keeps all.
inline Tensor<Replicated> gather(const Tensor<Varying>& x, int64_t keep = 0,
                                 CallSite where = here()) {
  return assume_placement<Replicated>(x.rank(),
                                      untyped::all_gather(x.rank(), x.array(), keep, where));
}

// The largest over the ranks, element by element, of what each rank found in its part.
inline Tensor<Invariant> max_over_ranks(Tensor<Varying> x, CallSite where = here()) {
  Rank& rank = x.rank();
  return assume_placement<Invariant>(
      rank, untyped::all_reduce(rank, std::move(x).take(), Reduce::max, where));
}

}  // namespace tplab
