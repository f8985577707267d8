// The residual stream between layers, and so the choice between TP and TP with sequence
// parallelism.
//
// Stream<Invariant> is plain TP: every rank holds the whole stream. Stream<VaryingT> is SP: each
// rank holds its positions. Where TP all-reduces, SP reduce-scatters, and all-gathers before the
// next product: an all-reduce cut in two, so a block sends the same bytes and the stream's memory
// is divided by tp. (A step sends a little more: the embedding's gradient, and the small
// parameters'.)
//   source: Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2
#pragma once

#include <utility>

#include "sim/collectives.h"

namespace tplab {

// Where a rank's part of the stream begins, and how long the whole is.
struct Positions {
  int64_t first, whole;
};

template <class Residual>
struct Stream;

template <>
struct Stream<Invariant> {
  using Param = Invariant;  // how a small parameter on the stream (norm weight, bias) is read

  // Before column-parallel weights.   [B, T, C]   ->   [B, T, C]
  static Tensor<Replicated> read(const Tensor<Invariant>& x, CallSite = {}) { return enter(x); }
  static Grad<Invariant> read_backward(Grad<Replicated> dy, CallSite where = here()) {
    return enter_backward(std::move(dy), here(where));
  }
  // After row-parallel weights.
  static Tensor<Invariant> write(Tensor<Partial> y, CallSite where = here()) {
    return leave(std::move(y), here(where));
  }
  static Grad<Partial> write_backward(const Grad<Invariant>& dy) { return leave_backward(dy); }
  // From the embedding, which every rank has whole.
  static Tensor<Invariant> begin(Tensor<Invariant> x) { return x; }
  static Grad<Invariant> begin_backward(Grad<Invariant> dy) { return dy; }

  static Tensor<Param> param(const Tensor<Invariant>& w) { return w; }
  static Grad<Invariant> param_backward(Grad<Param> dw) { return dw; }

  static Positions positions(const Tensor<Invariant>& x) { return {0, x.shape()[1]}; }
};

template <>
struct Stream<VaryingT> {
  using Param = Replicated;

  static Tensor<Replicated> read(const Tensor<VaryingT>& x, CallSite where = here()) {
    return gather(x, here(where));
  }
  static Grad<VaryingT> read_backward(const Grad<Replicated>& dy, CallSite where = here()) {
    return gather_backward(dy, here(where));
  }
  static Tensor<VaryingT> write(const Tensor<Partial>& y, CallSite where = here()) {
    return scatter_sum(y, here(where));
  }
  static Grad<Partial> write_backward(const Grad<VaryingT>& dy, CallSite where = here()) {
    return scatter_sum_backward(dy, here(where));
  }
  static Tensor<VaryingT> begin(const Tensor<Invariant>& x) { return split(x); }
  static Grad<Invariant> begin_backward(const Grad<VaryingT>& dy, CallSite where = here()) {
    return split_backward(dy, here(where));
  }

  static Tensor<Param> param(const Tensor<Invariant>& w) {
    return w.present() ? enter(w) : Tensor<Param>();
  }
  // Of all small parameters together: one all-reduce a step (model/layers/loader.h).
  static Grad<Invariant> param_backward(Grad<Param> dw, CallSite where = here()) {
    return enter_backward(std::move(dw), here(where));
  }

  static Positions positions(const Tensor<VaryingT>& x) {
    const int64_t mine = x.shape()[1];
    return {x.rank().index() * mine, x.rank().size() * mine};
  }
};

// What a layer keeps of its input for the backward pass: what it read, or (regather, Megatron's
// choice) only this rank's part of the stream, which is then read once more.
template <class Residual>
class SavedInput {
 public:
  SavedInput() = default;
  SavedInput(const Tensor<Residual>& x, const Tensor<Replicated>& in, bool regather) {
    if (regather) {
      x_ = x;
    } else {
      in_ = in;
    }
  }
  Tensor<Replicated> read(CallSite where = here()) const {
    return in_.present() ? in_ : Stream<Residual>::read(x_, where);
  }

 private:
  Tensor<Residual> x_;
  Tensor<Replicated> in_;
};

}  // namespace tplab
