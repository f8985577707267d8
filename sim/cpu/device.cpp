// The CPU device's memory, and sums of several ranks' numbers.
#include <cstring>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/math.h"
#include "sim/cpu/tasks.h"

namespace tplab {

namespace cpu {
namespace {

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

// The same in f32, rounded once.
template <class F>
void fold(Crew& crew, std::span<const void* const> terms, bf16* out, int64_t count, F f) {
  const auto term = [&](size_t i) { return static_cast<const bf16*>(terms[i]); };
  crew.parallel_for(count, grain_of(sizeof(bf16)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Packet<float> value = all<float>(term(0)[i]);
      for (size_t t = 1; t < terms.size(); ++t) value = f(value, all<float>(term(t)[i]));
      out[i] = bf16(Eigen::internal::pfirst(value));
    }
  });
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

}  // namespace
}  // namespace cpu

void CpuDevice::zero(Array& x) {
  auto* const bytes = static_cast<char*>(x.data());
  crew_.parallel_for(x.bytes(), cpu::grain_of(1), [&](int64_t begin, int64_t end) {
    std::memset(bytes + begin, 0, static_cast<size_t>(end - begin));
  });
}

void CpuDevice::sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    cpu::sum(crew_, terms, static_cast<Real*>(out), count);
  });
}

void CpuDevice::max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    cpu::max(crew_, terms, static_cast<Real*>(out), count);
  });
}

void CpuDevice::copy(const void* from, void* to, int64_t bytes) {
  if (from == to) return;
  crew_.parallel_for(bytes, cpu::grain_of(1), [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<size_t>(end - begin));
  });
}

std::unique_ptr<Device> make_cpu_device(Crew& crew) { return std::make_unique<CpuDevice>(crew); }

}  // namespace tplab
