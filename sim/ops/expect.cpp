#include "sim/ops/expect.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::untyped {

void expect(bool ok, Rank& rank, std::string_view operation, std::string_view rule,
            std::initializer_list<const Array*> arrays) {
  if (ok) return;
  std::string met;
  for (const Array* a : arrays) {
    met += fmt::format("{}{} {}", met.empty() ? "" : ", ", name(a->dtype()), a->shape().text());
  }
  throw Error(ErrorKind::run,
              fmt::format("rank {}, {}: {} needs {}, and got {}", rank.index(), rank.site()->path(),
                          operation, rule, met),
              "shapes are local to a rank; look at the shard plan (tplab info --tp N)");
}

bool vector_of(const Array& v, const Array& x, int64_t size) {
  return v.dtype() == x.dtype() && v.shape().dims() == 1 && v.count() == size;
}

bool sums_of(const Array& v, const Array& x, int64_t size) {
  return v.dtype() == accumulator(x.dtype()) && v.shape().dims() == 1 && v.count() == size;
}

bool gradient_of(const Array& dw, const Array& w) {
  return dw.dtype() == accumulator(w.dtype()) && dw.shape() == w.shape();
}

bool ids_of_rows(const Array& ids, const Array& x) {
  return ids.dtype() == DType::i32 && ids.count() == x.shape().rows();
}

Array like_or_same(Rank& rank, const Array& x) {
  return x.unique() ? x : rank.device().allocate(x.dtype(), x.shape());
}

}  // namespace tplab::untyped
