// Cross-entropy on the CPU, whole, and what one rank computes of it, row by row.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/tasks.h"
#include "sim/cpu/views.h"

namespace tplab {

namespace cpu {
namespace {

// The rows of a vocabulary's part that lies here: [rows, C], of which `cols` columns are real.
template <class Real>
struct Logits {
  Real* x;
  int64_t rows, C, cols;
};
template <class Real>
Logits<Real> logits_of(const Array& x, int64_t cols) {
  return {.x = x.as<std::remove_const_t<Real>>(),
          .rows = x.shape().rows(),
          .C = x.shape()[-1],
          .cols = cols};
}

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

template <class Real>
void row_max(Crew& crew, const Logits<const Real>& a, Real* out) {
  const int64_t grain = grain_of(a.cols * kBytes<Real>);
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) out[r] = largest_of(a.x + r * a.C, a.cols);
  });
}

template <class Real>
void pick(const Logits<const Real>& a, const int32_t* ids, int64_t first, Real* out) {
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t col = ids[r] - first;
    out[r] = col >= 0 && col < a.cols ? a.x[r * a.C + col] : Real(0);
  }
}

template <class Real>
void exp_rows(Crew& crew, const Logits<Real>& a, const Real* shift, Real* sums) {
  const int64_t grain = grain_of(a.C * kBytes<Real>);
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Real* const row = a.x + r * a.C;
      sums[r] = static_cast<Real>(exp_sum<Real>(row, a.cols, shift[r], Real(1), row));
      std::fill(row + a.cols, row + a.C, Real(0));
    }
  });
}

template <class Real>
void softmax_minus_onehot(Crew& crew, const Logits<Real>& a, const Real* sums, const int32_t* ids,
                          int64_t first, double scale) {
  const int64_t grain = grain_of(a.C * kBytes<Real>);
  crew.parallel_for(a.rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      Real* const row = a.x + r * a.C;
      const int32_t id = ids[r];
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

template <class Real>
double sum_of_losses(const op::SumOfLosses& o) {
  const Real *const largest = o.largest.as<Real>(), *const wanted = o.wanted.as<Real>(),
                    *const sums = o.sums.as<Real>();
  const auto* const ids = o.ids.as<int32_t>();
  double loss = 0;
  for (int64_t r = 0; r < o.ids.count(); ++r) {
    if (ids[r] < 0) continue;
    loss += std::log(static_cast<double>(sums[r])) +
            (static_cast<double>(largest[r]) - static_cast<double>(wanted[r]));
  }
  return loss * o.weight;
}

template <class Real>
double cross_entropy(Crew& crew, const Real* logits, const int32_t* targets, int64_t rows,
                     int64_t V) {
  std::vector<double> losses(static_cast<size_t>(rows), 0.0);
  crew.parallel_for(rows, grain_of(V * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int32_t target = targets[r];
      if (target < 0) continue;
      assert(target < V);
      const Real* const row = logits + r * V;
      const Real largest = ConstRow<Real>(row, V).maxCoeff();
      const double sum = exp_sum<Real>(row, V, largest, Real(1), nullptr);
      losses[static_cast<size_t>(r)] =
          std::log(sum) + (static_cast<double>(largest) - static_cast<double>(row[target]));
    }
  });
  double total = 0;
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; ++r) {
    total += losses[static_cast<size_t>(r)];
    if (targets[r] >= 0) ++counted;
  }
  return total / static_cast<double>(counted);
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::RowMax& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::row_max<Real>(crew_, cpu::logits_of<const Real>(o.x, o.cols), o.out.as<Real>());
  });
}

void CpuDevice::compute(const op::Pick& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::pick<Real>(cpu::logits_of<const Real>(o.x, o.cols), o.ids.as<int32_t>(), o.first,
                    o.out.as<Real>());
  });
}

void CpuDevice::compute(const op::ExpRows& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::exp_rows(crew_, cpu::logits_of<Real>(o.x, o.cols), o.shift.as<Real>(), o.sums.as<Real>());
  });
}

void CpuDevice::compute(const op::SoftmaxMinusOnehot& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::softmax_minus_onehot(crew_, cpu::logits_of<Real>(o.x, o.cols), o.sums.as<Real>(),
                              o.ids.as<int32_t>(), o.first, o.scale);
  });
}

void CpuDevice::compute(const op::SumOfLosses& o) {
  dispatch_computed(o.sums.dtype(), [&](auto zero) {
    *o.out.as<double>() += cpu::sum_of_losses<decltype(zero)>(o);
  });
}

void CpuDevice::compute(const op::CrossEntropy& o) {
  dispatch_computed(o.logits.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    *o.out.as<double>() = cpu::cross_entropy(crew_, o.logits.as<Real>(), o.ids.as<int32_t>(),
                                             o.ids.count(), o.logits.shape()[-1]);
  });
}

}  // namespace tplab
