// AdamW and the norm of gradients on the CPU: one pass over memory each.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/math.h"
#include "sim/cpu/tasks.h"

namespace tplab {

namespace cpu {
namespace {

// In kSums partial sums, which compilers keep in registers, added up from the first to the last.
template <class Real>
double squares_of_piece(const Real* x, int64_t n) {
  constexpr int64_t kSums = 32;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int64_t s = 0; s < kSums; ++s) {
      const auto value = static_cast<double>(x[i + s]);
      sums[s] += value * value;
    }
  }
  for (int64_t s = 0; i + s < n; ++s) {
    const auto value = static_cast<double>(x[i + s]);
    sums[s] += value * value;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// What a step multiplies with, once for all numbers.
template <class Real>
struct Update {
  Update(const AdamW& a, double grad_scale) {
    const auto t = static_cast<double>(a.step);
    const auto set = [](double x) { return all(static_cast<Real>(x)); };
    scale = set(grad_scale);
    keep = set(1 - a.learning_rate * a.weight_decay);
    beta1 = set(a.beta1);
    rest1 = set(1 - a.beta1);
    beta2 = set(a.beta2);
    rest2 = set(1 - a.beta2);
    size = set(-a.learning_rate / (1 - std::pow(a.beta1, t)));
    root = set(1 / std::sqrt(1 - std::pow(a.beta2, t)));
    eps = set(a.eps);
  }

  // One register of each.
  void operator()(const Real* gradient, Real* m, Real* v, Real* parameter) const {
    using namespace Eigen::internal;
    const Packet<Real> g = pmul(load(gradient), scale);
    const Packet<Real> new_m = fma(load(m), beta1, pmul(g, rest1));
    const Packet<Real> new_v = fma(load(v), beta2, pmul(pmul(g, g), rest2));
    const Packet<Real> under = fma(psqrt(new_v), root, eps);
    store(m, new_m);
    store(v, new_v);
    store(parameter, fma(size, pdiv(new_m, under), pmul(load(parameter), keep)));
  }

  Packet<Real> scale, keep, beta1, rest1, beta2, rest2, size, root, eps;
};

template <class Real>
double sum_of_squares(Crew& crew, const Real* x, int64_t count) {
  constexpr int64_t kPiece = 16 << 10;  // numbers
  const int64_t pieces = (count + kPiece - 1) / kPiece;
  std::vector<double> sums(static_cast<size_t>(pieces), 0.0);
  crew.parallel_for(pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      sums[static_cast<size_t>(piece)] =
          squares_of_piece(x + piece * kPiece, std::min(kPiece, count - piece * kPiece));
    }
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

template <class Real>
void adamw(Crew& crew, const AdamW& step, double grad_scale, const Real* gradient, Real* m, Real* v,
           Real* parameter, int64_t count) {
  const Update<Real> update(step, grad_scale);
  const int64_t grain = grain_of(4 * kBytes<Real>);
  crew.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kWidth<Real> <= end; i += kWidth<Real>) {
      update(gradient + i, m + i, v + i, parameter + i);
    }
    if (i == end) return;
    const int64_t rest = end - i;  // filled up with zeros, so that a number's place is no matter
    Real g_rest[kWidth<Real>] = {}, m_rest[kWidth<Real>] = {}, v_rest[kWidth<Real>] = {};
    Real p_rest[kWidth<Real>] = {};
    std::copy_n(gradient + i, rest, g_rest);
    std::copy_n(m + i, rest, m_rest);
    std::copy_n(v + i, rest, v_rest);
    std::copy_n(parameter + i, rest, p_rest);
    update(g_rest, m_rest, v_rest, p_rest);
    std::copy_n(m_rest, rest, m + i);
    std::copy_n(v_rest, rest, v + i);
    std::copy_n(p_rest, rest, parameter + i);
  });
}

}  // namespace
}  // namespace cpu

void CpuDevice::compute(const op::SumOfSquares& o) {
  dispatch_computed(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    *o.out.as<double>() = cpu::sum_of_squares(crew_, o.x.as<Real>(), o.x.count());
  });
}

void CpuDevice::compute(const op::ClipScale& o) {
  const double norm = std::sqrt(*o.squares.as<double>());
  const bool finite = std::isfinite(norm) && std::isfinite(*o.loss.as<double>());
  *o.norm.as<double>() = norm;
  *o.scale.as<double>() = !finite       ? std::numeric_limits<double>::quiet_NaN()
                          : o.limit > 0 ? std::min(1.0, o.limit / (norm + 1e-6))
                                        : 1.0;
}

void CpuDevice::compute(const op::AdamW& o) {
  const double scale = *o.scale.as<double>();
  if (!std::isnan(scale)) {
    dispatch_computed(o.gradient.dtype(), [&](auto zero) {
      using Real = decltype(zero);
      cpu::adamw(crew_, o.step, scale, o.gradient.as<Real>(), o.m.as<Real>(), o.v.as<Real>(),
                 o.parameter.as<Real>(), o.gradient.count());
    });
  }
  if (o.copy.present()) copy(o.parameter.data(), o.copy.data(), o.parameter.bytes());
}

}  // namespace tplab
