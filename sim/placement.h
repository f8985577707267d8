// Where a tensor lives across the ranks, as a C++ type, and what each operation makes of it.
//
// Nothing here computes. A rule that has no meaning across ranks does not compile, and its message
// says which collective is missing. The operations that use the rules are in ops/ and
// collectives.h.
#pragma once

#include <string_view>

namespace tplab {

// How one logical value lives across the ranks of a TP group, and so what its gradient is.
struct Invariant {};   // same value on every rank; so is its gradient
struct Replicated {};  // same value on every rank, read by shards: each rank's gradient is one term
struct Varying {};     // each rank holds its own features (heads, vocabulary); so is its gradient
struct VaryingT {};    // each rank holds its own positions, a part of T; so is its gradient
struct Partial {};     // the value is the sum over ranks; its gradient is the same on every rank

template <class P>
struct DualOf;
template <>
struct DualOf<Invariant> {
  using type = Invariant;
};
template <>
struct DualOf<Replicated> {
  using type = Partial;
};
template <>
struct DualOf<Varying> {
  using type = Varying;
};
template <>
struct DualOf<VaryingT> {
  using type = VaryingT;
};
template <>
struct DualOf<Partial> {
  using type = Replicated;
};
template <class P>
using Dual = typename DualOf<P>::type;  // the placement of the gradient

template <class P>
constexpr std::string_view placement_name();
template <>
constexpr std::string_view placement_name<Invariant>() {
  return "invariant";
}
template <>
constexpr std::string_view placement_name<Replicated>() {
  return "replicated";
}
template <>
constexpr std::string_view placement_name<Varying>() {
  return "varying";
}
template <>
constexpr std::string_view placement_name<VaryingT>() {
  return "varying over T";
}
template <>
constexpr std::string_view placement_name<Partial>() {
  return "partial";
}

template <class A, class B>
inline constexpr bool same = false;
template <class A>
inline constexpr bool same<A, A> = true;

// x Wᵀ.
template <class X, class W>
struct MatmulRule {
  static_assert(!(same<X, Invariant> && same<W, Varying>),
                "matmul: sharded weights read an Invariant activation: its gradient would be one "
                "term of a sum on each rank and never summed; pass it through enter() first.");
  static_assert(!same<X, Partial>,
                "matmul: the activation is a Partial sum; leave() or scatter_sum() first.");
  static_assert(!(same<X, Varying> && !same<W, Varying>),
                "matmul: a sharded activation needs the matching shard of the weight; gather() the "
                "activation, or shard the weight.");
  static_assert(!same<X, VaryingT>,
                "matmul: the activation holds this rank's positions only; gather() the sequence "
                "first.");
  static_assert(same<X, void>, "matmul: this pair of placements has no meaning across ranks.");
};
template <>
struct MatmulRule<Invariant, Invariant> {  // the same product on every rank
  using type = Invariant;
};
template <>
struct MatmulRule<Replicated, Varying> {  // column parallel: W splits its OUTPUT features
  using type = Varying;
};
template <>
struct MatmulRule<Varying, Varying> {  // row parallel: x and W split the features summed over
  using type = Partial;
};

// x Wᵀ + b in one operation.
template <class X, class W, class B>
struct LinearRule {
  using type = typename MatmulRule<X, W>::type;
  static_assert(!same<type, Partial>,
                "linear: the product is a Partial sum, and a bias inside it would be added once "
                "per rank; use add(leave(matmul(x, w)), bias).");
  static_assert(same<type, Partial> || same<type, B>,
                "linear: the bias must have the placement of the product.");
};

template <class A, class B>
struct AddRule {
  static_assert(!same<A, Partial> && !same<B, Partial>,
                "add: both operands must have the same placement. Adding an Invariant bias to a "
                "Partial sum adds it once per rank; all-reduce first.");
  static_assert(same<A, void>,
                "add: both operands must have the same placement (or VaryingT + Replicated).");
};
template <class A>
struct AddRule<A, A> {
  using type = A;
};
template <>
struct AddRule<VaryingT, Replicated> {  // a small parameter on a stream sharded by positions
  using type = VaryingT;
};

// table[ids]: a vocabulary split over the ranks gives each rank the rows it has and zeros for the
// rest, so the sum over ranks is the embedding.
template <class Table>
struct EmbeddingRule {
  static_assert(same<Table, void>, "embedding: the table must be Invariant or Varying.");
};
template <>
struct EmbeddingRule<Invariant> {
  using type = Invariant;
};
template <>
struct EmbeddingRule<Varying> {
  using type = Partial;
};

// Layer norms and RMS norms, over all features of a row.
template <class X, class W>
struct NormRule {
  static_assert(!same<X, Partial>, "norm: not linear; all-reduce first.");
  static_assert(!same<X, Varying>,
                "norm: this rank holds a part of the features, whose mean is not the mean of "
                "all; gather() first.");
  static_assert(same<X, Partial> || same<X, Varying> ||
                    (same<X, Invariant> && same<W, Invariant>) ||
                    (same<X, VaryingT> && same<W, Replicated>),
                "norm: on a sharded stream the weight's gradient is one term of a sum; pass it "
                "through enter().");
  using type = X;
};

// What acts on one number, or a gate and its number: activation, gated, soft_cap.
template <class P>
struct NonlinearRule {
  static_assert(!same<P, Partial>,
                "activation, gated, soft_cap: not linear, so that of a sum is not the sum of those "
                "of its terms; all-reduce first.");
  using type = P;
};

template <class P>
struct RotaryRule {
  static_assert(!same<P, VaryingT>,
                "rotary: this rank holds its own positions only, and they would be counted from "
                "the first of all; gather() the sequence first.");
  using type = P;
};

template <class P, class Sinks>
struct AttentionRule {
  static_assert(!same<P, Partial>, "attention: softmax is not linear; all-reduce first.");
  static_assert(!same<P, VaryingT>,
                "attention: this rank holds its own positions only, and they would see no others; "
                "gather() the sequence first.");
  static_assert(same<P, Sinks>,
                "attention: sinks are split as the heads are, each rank having those of its own.");
  using type = P;
};

// The sum over the rows of an activation's gradient: the gradient of a bias added to every row.
template <class DY>
struct SumRowsRule {
  static_assert(same<DY, void>, "bias_backward: no bias is added to a tensor of this placement.");
};
template <>
struct SumRowsRule<Invariant> {
  using type = Invariant;
};
template <>
struct SumRowsRule<Varying> {  // features are sharded, rows are all here
  using type = Varying;
};
template <>
struct SumRowsRule<VaryingT> {  // the rows are shared out: one term of a sum
  using type = Partial;
};

// The gradient of y has the dual of y's placement: a gradient that was not reduced, or was reduced
// twice, does not.
template <class DY, class Y>
struct GradientOf {
  static_assert(same<DY, Dual<Y>>,
                "backward: the gradient's placement is not the dual of the result's: a reduction "
                "is missing or doubled (enter_backward sums, leave_backward does not).");
};

template <class P>
struct CrossEntropyRule {
  static_assert(!same<P, Varying>,
                "cross_entropy: each rank holds a part of the vocabulary; gather() the logits.");
  static_assert(!same<P, Partial>, "cross_entropy: not linear; all-reduce first.");
};

}  // namespace tplab
