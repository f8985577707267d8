#include "sim/random.h"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>

namespace tplab {

RandomStream::RandomStream(uint64_t seed, std::string_view name) : seed_(seed) {
  stream_ = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : name) stream_ = (stream_ ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
}

std::array<uint32_t, 4> RandomStream::bits(uint64_t block) const {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const r123::Philox4x32::ctr_type counter = {
      {low(block), high(block), low(stream_), high(stream_)}};
  const r123::Philox4x32::key_type key = {{low(seed_), high(seed_)}};
  const r123::Philox4x32::ctr_type random = r123::Philox4x32()(counter, key);
  return {random[0], random[1], random[2], random[3]};
}

std::array<float, 4> RandomStream::normals(uint64_t block) const {
  const std::array<uint32_t, 4> random = bits(block);
  std::array<float, 4> result;
  for (size_t i = 0; i < 4; i += 2) {
    // 24 bits fit a float exactly; + 0.5 keeps the logarithm's argument above 0.
    const float u = (static_cast<float>(random[i] >> 8) + 0.5f) * 0x1p-24f;
    const float angle =
        static_cast<float>(random[i + 1] >> 8) * 0x1p-24f * (2.0f * std::numbers::pi_v<float>);
    const float radius = std::sqrt(-2.0f * std::log(u));
    result[i] = radius * std::cos(angle);
    result[i + 1] = radius * std::sin(angle);
  }
  return result;
}

double RandomStream::uniform(uint64_t index) const {
  const std::array<uint32_t, 4> random = bits(index);
  return static_cast<double>((uint64_t{random[0]} << 21) | (random[1] >> 11)) * 0x1p-53;
}

}  // namespace tplab
