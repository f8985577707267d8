#include "sim/tensor.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <vector>

namespace tplab {

Tensor<Invariant> ids_on_device(Rank& rank, std::span<const int32_t> ids, const Shape& shape) {
  assert(static_cast<int64_t>(ids.size()) == shape.count());
  Array on_device = rank.device().allocate(DType::i32, shape);
  // An upload only reads.
  rank.device().upload({DType::i32, const_cast<int32_t*>(ids.data()), std::ssize(ids)}, on_device);
  return assume_placement<Invariant>(rank, std::move(on_device));
}

void to_host(Device& device, const Array& from, std::span<double> to) {
  assert(static_cast<int64_t>(to.size()) == from.count());
  assert(from.dtype() != DType::i32);
  if (from.dtype() == DType::f64) {
    device.download(from, {DType::f64, to.data(), from.count()});
    return;
  }
  dispatch(from.dtype(), [&](auto zero) {
    std::vector<decltype(zero)> narrow(to.size());
    device.download(from, {from.dtype(), narrow.data(), from.count()});
    std::copy(narrow.begin(), narrow.end(), to.begin());
  });
}

}  // namespace tplab
