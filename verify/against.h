// tplab's numbers beside another program's.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "verify/golden.h"
#include "verify/verify.h"

namespace tplab {

// Of all numbers that storing in `type` makes `stored`, the one nearest to `got`. Rounding to
// nearest moves a number by at most half the distance of `stored` from its neighbours; an infinity
// stands for all that are past the largest number of the type. f64 is what is computed in, so there
// a number stands for itself.
double nearest_meant(double stored, StoredType type, double got);

// Compares what tplab computed in `dtype` with one tensor of another program. That program computed
// in f64 if it stored f64, else in f32 at best, and its numbers may be off by what rounding alone
// does in that: bound_of says how much, for either. Storing rounded once more, each number by what
// its type rounds: of the numbers that the file may stand for (see nearest_meant), the nearest to
// ours is what ours are held against. A tensor that was computed in bf16 or f16 is further off, and
// wrong by this; the difference then says so.
//   REQUIRES: got has the numbers of `shape`.
AgainstResult judge_against(const GoldenTensor& golden, const std::vector<double>& got,
                            const Shape& shape, const std::function<Bound(DType)>& bound_of,
                            DType dtype);

}  // namespace tplab
