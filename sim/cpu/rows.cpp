// The CPU kernels that work number by number or row by row: gelu, layer_norm, sums, the loss.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "sim/cpu/kernels.h"
#include "sim/cpu/views.h"

namespace tplab::cpu {
namespace {

template <class Real>
constexpr int64_t kBytes = static_cast<int64_t>(sizeof(Real));

// Folds the terms number by number, strictly in their order. A register of every term is read
// before its result is written, so `out` may be one of them.
template <class Real, class F>
void fold(Crew& crew, std::span<const void* const> terms, Real* out, int64_t count, F f) {
  const auto term = [&](size_t i) { return static_cast<const Real*>(terms[i]); };
  crew.parallel_for(count, grain_of(kBytes<Real>), [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kWidth<Real> <= end; i += kWidth<Real>) {
      Packet<Real> value = load(term(0) + i);
      for (size_t t = 1; t < terms.size(); ++t) value = f(value, load(term(t) + i));
      store(out + i, value);
    }
    for (; i < end; ++i) {
      Packet<Real> value = all(term(0)[i]);
      for (size_t t = 1; t < terms.size(); ++t) value = f(value, all(term(t)[i]));
      out[i] = Eigen::internal::pfirst(value);
    }
  });
}

}  // namespace

template <class Real>
void add(Crew& crew, const Real* a, const Real* b, bool broadcast_row, Real* y, int64_t rows,
         int64_t C) {
  crew.parallel_for(rows, grain_of(C * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Real* const other = broadcast_row ? b : b + r * C;
      Row<Real>(y + r * C, C) = ConstRow<Real>(a + r * C, C) + ConstRow<Real>(other, C);
    }
  });
}

template <class Real>
void gelu(Crew& crew, Gelu kind, const Real* x, Real* y, int64_t count) {
  constexpr int64_t kGrain = 4096;
  crew.parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    if (kind == Gelu::erf) {
      map_packets(x + begin, y + begin, end - begin,
                  [](const auto& v) { return gelu_erf(Real(), v); });
    } else {
      map_packets(x + begin, y + begin, end - begin,
                  [](const auto& v) { return gelu_tanh(Real(), v); });
    }
  });
}

template <class Real>
void layer_norm(Crew& crew, const LayerNorm<Real>& a) {
  const ConstRow<Real> weight(a.weight, a.C);
  crew.parallel_for(a.rows, grain_of(a.C * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const ConstRow<Real> x(a.x + r * a.C, a.C);
      Row<Real> y(a.y + r * a.C, a.C);
      const Real mean = x.mean();
      const Real variance = (x - mean).square().mean();
      const Real scale = Real(1) / std::sqrt(variance + a.eps);
      if (a.bias) {
        y = (x - mean) * scale * weight + ConstRow<Real>(a.bias, a.C);
      } else {
        y = (x - mean) * scale * weight;
      }
    }
  });
}

template <class Real>
double cross_entropy(Crew& crew, const Real* logits, std::span<const int32_t> targets, int64_t V) {
  const auto rows = static_cast<int64_t>(targets.size());
  std::vector<double> losses(targets.size(), 0.0);
  crew.parallel_for(rows, grain_of(V * kBytes<Real>), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int32_t target = targets[static_cast<size_t>(r)];
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
  for (size_t r = 0; r < targets.size(); ++r) {
    total += losses[r];
    if (targets[r] >= 0) ++counted;
  }
  return total / static_cast<double>(counted);
}

template <class Real>
void sum(Crew& crew, std::span<const void* const> terms, Real* out, int64_t count) {
  fold(crew, terms, out, count,
       [](const auto& a, const auto& b) { return Eigen::internal::padd(a, b); });
}

template <class Real>
void max(Crew& crew, std::span<const void* const> terms, Real* out, int64_t count) {
  fold(crew, terms, out, count, [](const auto& a, const auto& b) {
    return unless_nan(a, unless_nan(b, Eigen::internal::pmax(a, b)));
  });
}

template void add(Crew&, const float*, const float*, bool, float*, int64_t, int64_t);
template void gelu(Crew&, Gelu, const float*, float*, int64_t);
template void layer_norm(Crew&, const LayerNorm<float>&);
template double cross_entropy(Crew&, const float*, std::span<const int32_t>, int64_t);
template void sum(Crew&, std::span<const void* const>, float*, int64_t);
template void max(Crew&, std::span<const void* const>, float*, int64_t);

template void add(Crew&, const double*, const double*, bool, double*, int64_t, int64_t);
template void gelu(Crew&, Gelu, const double*, double*, int64_t);
template void layer_norm(Crew&, const LayerNorm<double>&);
template double cross_entropy(Crew&, const double*, std::span<const int32_t>, int64_t);
template void sum(Crew&, std::span<const void* const>, double*, int64_t);
template void max(Crew&, std::span<const void* const>, double*, int64_t);

}  // namespace tplab::cpu
