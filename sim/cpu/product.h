// Matrix products of operands in whatever order they lie: a linear layer, its two gradients and the
// blocks of attention are one formula with different strides.
#pragma once

#include <cstdint>

#include "sim/threads/crew.h"

namespace tplab::cpu {

// c = a b, or c += a b.   a: [rows, depth]   b: [depth, cols]   c: [rows, cols]
template <class Real>
struct Product {
  const Real* a;
  int64_t a_row, a_depth;  // a(r, d) = a[r a_row + d a_depth]
  const Real* b;
  int64_t b_depth, b_col;  // b(d, j) = b[d b_depth + j b_col]; one of the two is 1
  Real* c;
  int64_t c_row;  // c(r, j) = c[r c_row + j]
  int64_t rows, cols, depth;
  bool add;
};

// On one lane; depth > 0. A number of c has the same bits whatever rows and cols are: it is summed
// over pieces of the depth, each in order, and the pieces' sums are added up in order.
template <class Real>
void multiply(const Product<Real>& p);

// The same on all lanes, cut into tiles of c; bias: [cols] or null, added to every row.
// REQUIRES: !p.add where there is a bias.
template <class Real>
void multiply(Crew& crew, const Product<Real>& p, const Real* bias);

}  // namespace tplab::cpu
