// What a typed operation says of shapes that do not fit.
#pragma once

#include <initializer_list>
#include <string_view>

#include "sim/machine/rank.h"

namespace tplab::untyped {

// Throws Error(run) unless `ok`, saying which operation met which shapes, and where.
void expect(bool ok, Rank& rank, std::string_view operation, std::string_view rule,
            std::initializer_list<const Array*> arrays);

// v: [size], of x's dtype.
bool vector_of(const Array& v, const Array& x, int64_t size);

// v: [size], of accumulators of such numbers as x's.
bool sums_of(const Array& v, const Array& x, int64_t size);

// dw: the gradient of w, an accumulator's.
bool gradient_of(const Array& dw, const Array& w);

// Ids, one for each of x's rows.
bool ids_of_rows(const Array& ids, const Array& x);

// x's memory where nobody else reads it, or an array like it.
Array like_or_same(Rank& rank, const Array& x);

}  // namespace tplab::untyped
