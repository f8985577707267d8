#include "sim/device.h"

#include <algorithm>
#include <vector>

namespace tplab {

// In pieces, each passed on while it is still in the core's own cache.
void Device::fold_to_all(Fold fold, std::span<const void* const> terms, std::span<void* const> outs,
                         DType dtype, int64_t count) {
  constexpr int64_t kPieceBytes = 128 << 10;
  const int64_t size = size_bytes(dtype), piece = kPieceBytes / size;
  std::vector<const void*> from(terms.begin(), terms.end());
  for (int64_t done = 0; done < count; done += piece) {
    const int64_t n = std::min(piece, count - done);
    const auto at = [&](auto* whole) { return static_cast<char*>(whole) + done * size; };
    for (size_t t = 0; t < terms.size(); ++t)
      from[t] = static_cast<const char*>(terms[t]) + done * size;
    void* const first = at(outs.front());
    (this->*fold)(from, first, dtype, n);
    for (void* const out : outs.subspan(1)) copy(first, at(out), n * size);
  }
}

void Device::sum_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                        DType dtype, int64_t count) {
  fold_to_all(&Device::sum, terms, outs, dtype, count);
}

void Device::max_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                        DType dtype, int64_t count) {
  fold_to_all(&Device::max, terms, outs, dtype, count);
}

double number_on_host(Device& device, const Array& x) {
  double value = 0;
  device.download(x, {DType::f64, &value, 1});
  return value;
}

}  // namespace tplab
