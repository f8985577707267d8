#include "sim/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tplab {

int64_t Shape::count() const {
  int64_t n = 1;
  for (const int64_t size : *this) n *= size;
  return n;
}

int64_t Shape::rows() const {
  int64_t n = 1;
  for (int i = 0; i + 1 < dims_; ++i) n *= (*this)[i];
  return n;
}

Shape Shape::with_last(int64_t size) const {
  Shape result = *this;
  result[-1] = size;
  return result;
}

Shape Shape::from(int first) const {
  Shape result;
  for (int i = first; i < dims_; ++i) result.push_back((*this)[i]);
  return result;
}

std::string Shape::text() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

}  // namespace tplab
