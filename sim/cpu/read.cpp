// A loop of loads, with nothing that could hold them back.
#include "sim/cpu/read.h"

#include <atomic>
#include <cstdint>

#include "sim/cpu/math.h"

namespace tplab::cpu {
namespace {

// The bits of all whole lines of the floats, or-ed.
Packet<float> bits_of(const float* x, int64_t count) {
  constexpr int64_t kParts = 8, kStep = kParts * kWidth<float>;
  Packet<float> parts[kParts];
  for (auto& part : parts) part = all(0.0f);
  for (int64_t i = 0; i + kStep <= count; i += kStep) {
    for (int64_t p = 0; p < kParts; ++p) {
      parts[p] = Eigen::internal::por(parts[p], load(x + i + p * kWidth<float>));
    }
  }
  for (const auto& part : parts) parts[0] = Eigen::internal::por(parts[0], part);
  return parts[0];
}

}  // namespace

void read(Crew& crew, std::span<const Array> arrays) {
  constexpr int64_t kLine = 64;  // bytes; parts begin at a multiple of it
  std::atomic<float> seen = 0;   // so that no load is left out
  crew.parallel_for(crew.lanes(), 1, [&](int64_t lane, int64_t end) {
    Packet<float> bits = all(0.0f);
    for (const Array& x : arrays) {
      const int64_t lines = x.bytes() / kLine;
      const int64_t first = lines * lane / crew.lanes(), last = lines * end / crew.lanes();
      const auto* const data = static_cast<const float*>(x.data());
      constexpr int64_t kFloats = kLine / static_cast<int64_t>(sizeof(float));
      bits = Eigen::internal::por(bits, bits_of(data + first * kFloats, (last - first) * kFloats));
    }
    seen.store(Eigen::internal::pfirst(bits), std::memory_order_relaxed);
  });
}

}  // namespace tplab::cpu
