// The dense layers' matrix products: Eigen's, and for Rough numbers their rounding after it.
#pragma once

#include <cstdint>

namespace tplab::dense {

// Over how many ranks the sums of a product are shared out, of how many groups of terms each rank
// having a part; each then stores its term of the sum, and the sum so far.
struct SharedSum {
  int64_t ranks = 1, groups = 1;
};

// Each is for double and Rough, row-major.

// c = a b.   a: [m, k]   b: [k, n]   ->   c: [m, n]
template <class Real>
void multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n,
              SharedSum shared = {});

// c = a b^T.   a: [m, k]   b: [n, k]   ->   c: [m, n]
template <class Real>
void multiply_transposed(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n,
                         SharedSum shared = {});

// c = a^T b.   a: [k, m]   b: [k, n]   ->   c: [m, n]
template <class Real>
void transposed_multiply(const Real* a, const Real* b, Real* c, int64_t m, int64_t k, int64_t n);

}  // namespace tplab::dense
