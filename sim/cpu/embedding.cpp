// Rows of a table by their ids, on the CPU.
#include <cstring>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

// dtable: [table_rows, C]
template <class Real>
void embedding_backward(Crew& crew, const int32_t* ids, int64_t count, const Real* dy,
                        int64_t first_row, Real* dtable, int64_t table_rows, int64_t C) {
  for_columns<Real>(crew, count, C, [&](int64_t col, int64_t cols) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = ids[i] - first_row;
      if (row < 0 || row >= table_rows) continue;
      Row<Real>(dtable + row * C + col, cols) += ConstRow<Real>(dy + i * C + col, cols);
    }
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::Embedding& o) {
  const int64_t row_bytes = o.table.shape()[-1] * size_bytes(o.table.dtype());
  const int64_t table_rows = o.table.shape()[0];
  const auto* const from = static_cast<const char*>(o.table.data());
  auto* const to = static_cast<char*>(o.y.data());
  const auto* const ids = o.ids.as<int32_t>();
  crew_.parallel_for(o.ids.count(), cpu::grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = ids[i] - o.first_row;
      if (row >= 0 && row < table_rows) {
        std::memcpy(to + i * row_bytes, from + row * row_bytes, static_cast<size_t>(row_bytes));
      } else {
        std::memset(to + i * row_bytes, 0, static_cast<size_t>(row_bytes));
      }
    }
  });
}

void CpuDevice::compute(const op::EmbeddingBackward& o) {
  dispatch_computed(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::embedding_backward(crew_, o.ids.as<int32_t>(), o.ids.count(), o.dy.as<Real>(), o.first_row,
                            o.dtable.as<Real>(), o.dtable.shape()[0], o.dtable.shape()[-1]);
  });
}

}  // namespace tplab
