// The dense layers' matrix products: Eigen's, and for Rough numbers their rounding after it.
#pragma once

#include <cstdint>

namespace tplab::dense {

// Each is for double and Rough, row-major.

// c = a b.   a: [m, k]   b: [k, n]   ->   c: [m, n]
template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n);

// c = a b^T.   a: [m, k]   b: [n, k]   ->   c: [m, n]
template <class Real>
void multiply_transposed(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n);

// c = a^T b.   a: [k, m]   b: [k, n]   ->   c: [m, n]
template <class Real>
void transposed_multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n);

}  // namespace tplab::dense
