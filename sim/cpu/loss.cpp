// Vocab-parallel cross-entropy on the CPU: what one rank computes of it, row by row.
#include <algorithm>
#include <limits>

#include "sim/cpu/kernels.h"
#include "sim/cpu/training_kernels.h"
#include "sim/cpu/views.h"

namespace tplab::cpu {
namespace {

template <class Real>
Real largest_of(const Real* x, int64_t n) {
  const auto larger = [](const auto& a, const auto& b) {
    return unless_nan(a, unless_nan(b, Eigen::internal::pmax(a, b)));
  };
  Packet<Real> most = all(-std::numeric_limits<Real>::infinity());
  int64_t i = 0;
  for (; i + kWidth<Real> <= n; i += kWidth<Real>) most = larger(most, load(x + i));
  for (; i < n; ++i) most = larger(most, all(x[i]));
  Real each[kWidth<Real>];
  store(each, most);
  Real result = each[0];
  for (const Real v : each) {
    if (!(v <= result)) result = v;
    if (std::isnan(result)) break;
  }
  return result;
}

}  // namespace

template <class Real>
void row_max(Crew& crew, const Logits<const Real>& a, Real* out) {
  const int64_t grain = grain_of(a.cols * static_cast<int64_t>(sizeof(Real)));
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) out[r] = largest_of(a.x + r * a.C, a.cols);
  });
}

template <class Real>
void pick(const Logits<const Real>& a, std::span<const int32_t> ids, int64_t first, Real* out) {
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t col = ids[static_cast<size_t>(r)] - first;
    out[r] = col >= 0 && col < a.cols ? a.x[r * a.C + col] : Real(0);
  }
}

template <class Real>
void exp_rows(Crew& crew, const Logits<Real>& a, const Real* shift, Real* sums) {
  const int64_t grain = grain_of(a.C * static_cast<int64_t>(sizeof(Real)));
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Real* const row = a.x + r * a.C;
      sums[r] = static_cast<Real>(exp_sum<Real>(row, a.cols, shift[r], Real(1), row));
      std::fill(row + a.cols, row + a.C, Real(0));
    }
  });
}

template <class Real>
void softmax_minus_onehot(Crew& crew, const Logits<Real>& a, const Real* sums,
                          std::span<const int32_t> ids, int64_t first, double scale) {
  const int64_t grain = grain_of(a.C * static_cast<int64_t>(sizeof(Real)));
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Real* const row = a.x + r * a.C;
      const int32_t id = ids[static_cast<size_t>(r)];
      if (id < 0) {
        std::fill(row, row + a.C, Real(0));
        continue;
      }
      Row<Real>(row, a.cols) *= static_cast<Real>(scale / static_cast<double>(sums[r]));
      if (id >= first && id - first < a.cols) row[id - first] -= static_cast<Real>(scale);
      std::fill(row + a.cols, row + a.C, Real(0));
    }
  });
}

template void row_max(Crew&, const Logits<const float>&, float*);
template void pick(const Logits<const float>&, std::span<const int32_t>, int64_t, float*);
template void exp_rows(Crew&, const Logits<float>&, const float*, float*);
template void softmax_minus_onehot(Crew&, const Logits<float>&, const float*,
                                   std::span<const int32_t>, int64_t, double);

template void row_max(Crew&, const Logits<const double>&, double*);
template void pick(const Logits<const double>&, std::span<const int32_t>, int64_t, double*);
template void exp_rows(Crew&, const Logits<double>&, const double*, double*);
template void softmax_minus_onehot(Crew&, const Logits<double>&, const double*,
                                   std::span<const int32_t>, int64_t, double);

}  // namespace tplab::cpu
