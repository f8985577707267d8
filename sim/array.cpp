#include "sim/array.h"

#include <fmt/format.h>

namespace tplab {

int64_t Shape::count() const {
  int64_t n = 1;
  for (int i = 0; i < dims_; ++i) n *= (*this)[i];
  return n;
}

int64_t Shape::rows() const {
  int64_t n = 1;
  for (int i = 0; i + 1 < dims_; ++i) n *= (*this)[i];
  return n;
}

Shape Shape::with_last(int64_t size) const {
  Shape result = *this;
  result.sizes_[static_cast<size_t>(dims_ - 1)] = size;
  return result;
}

std::string Shape::text() const {
  std::string text = "[";
  for (int i = 0; i < dims_; ++i) text += fmt::format("{}{}", i ? ", " : "", (*this)[i]);
  return text + "]";
}

}  // namespace tplab
