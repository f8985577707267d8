// An array together with its placement: what the operations and collectives take and return.
#pragma once

#include <span>
#include <utility>

#include "sim/machine/rank.h"
#include "sim/placement.h"

namespace tplab {

// This rank's part of one logical tensor. A handle: copies share the numbers. A default-made tensor
// is absent, which is how a model without biases holds its biases.
template <class P>
class [[nodiscard]] Tensor {
 public:
  Tensor() = default;
  bool present() const { return array_.present(); }
  const Array& array() const { return array_; }
  const Shape& shape() const { return array_.shape(); }  // local: of this rank's part
  Rank& rank() const { return *rank_; }
  // The array, given up: an operation that gets the only handle may overwrite the numbers.
  Array take() && { return std::move(array_); }

 private:
  Tensor(Rank& rank, Array array) : array_(std::move(array)), rank_(&rank) {}
  template <class Q>
  friend Tensor<Q> assume_placement(Rank& rank, Array array);

  Array array_;
  Rank* rank_ = nullptr;
};

// The gradient of a Tensor<P>.
template <class P>
using Grad = Tensor<Dual<P>>;

// The one escape hatch: states, without proof, that `array` is this rank's part of a tensor placed
// so. Operations use it once their rule has compiled, loaders once the shard plan agrees.
template <class P>
Tensor<P> assume_placement(Rank& rank, Array array) {
  rank.note_placed(array, placement_name<P>());
  return Tensor<P>(rank, std::move(array));
}
template <class P, class Q>
Tensor<P> assume_placement(const Tensor<Q>& t) {
  return assume_placement<P>(t.rank(), t.array());
}

// Shows a tensor to whoever records the run, under <current site>/<name>, and returns it. `fused`
// is how many blocks the last dimension holds that are each split over the ranks: 3 for [q|k|v].
template <class P>
Tensor<P> show(std::string_view name, Tensor<P> t, int fused = 1, CallSite where = here()) {
  t.rank().show(name, placement_name<P>(), t.array(), fused, where);
  return t;
}

// Ids in host memory, as a tensor that every rank holds whole: tokens, targets, positions.
Tensor<Invariant> ids_on_device(Rank& rank, std::span<const int32_t> ids, const Shape& shape);

// Copies an array, or a tensor that every rank holds whole, to host memory, as doubles.
// REQUIRES: to.size() == the tensor's count; numbers, not ids.
void to_host(Device& device, const Array& from, std::span<double> to);
template <class P>
void to_host(const Tensor<P>& from, std::span<double> to) {
  static_assert(!same<P, Partial> && !same<P, Varying>,
                "to_host: this rank holds only a part of the value; leave() or gather() first.");
  to_host(from.rank().device(), from.array(), to);
}

}  // namespace tplab
