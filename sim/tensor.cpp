#include "sim/tensor.h"

#include <cassert>
#include <vector>

namespace tplab {

void to_host(Device& device, const Array& from, std::span<double> to) {
  assert(static_cast<int64_t>(to.size()) == from.count());
  if (from.dtype() == DType::f64) {
    device.download(from, {DType::f64, to.data(), from.count()});
    return;
  }
  std::vector<float> narrow(to.size());
  device.download(from, {DType::f32, narrow.data(), from.count()});
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(narrow[i]);
}

}  // namespace tplab
