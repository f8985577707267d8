// Arrays as plain pointers, and those as Eigen's row-major matrices.
#pragma once

#include "sim/array.h"
#include "sim/cpu/math.h"

namespace tplab::cpu {

template <class Real>
using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class Real>
using View = Eigen::Map<Matrix<Real>, 0, Eigen::OuterStride<>>;
template <class Real>
using ConstView = Eigen::Map<const Matrix<Real>, 0, Eigen::OuterStride<>>;

// A row, as an array: element by element.
template <class Real>
using Row = Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>>;
template <class Real>
using ConstRow = Eigen::Map<const Eigen::Array<Real, Eigen::Dynamic, 1>>;

// The numbers of an array that may be absent.
template <class Real>
const Real* or_null(const Array& array) {
  return array.present() ? array.as<Real>() : nullptr;
}

}  // namespace tplab::cpu
