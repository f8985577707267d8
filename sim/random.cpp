#include "sim/random.h"

#include <Random123/philox.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tplab {
namespace {

// Philox4x32-10 of kBlocks counters at once, in loops that compilers make SIMD instructions of.
constexpr int kBlocks = 32;  // fewer are unrolled before they can be vectorized
using Words = std::array<uint32_t, kBlocks>;

void philox_round(uint32_t key0, uint32_t key1, std::array<Words, 4>& c) {
  for (size_t i = 0; i < kBlocks; ++i) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c[0][i];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c[2][i];
    c[0][i] = static_cast<uint32_t>(product1 >> 32) ^ c[1][i] ^ key0;
    c[2][i] = static_cast<uint32_t>(product0 >> 32) ^ c[3][i] ^ key1;
    c[1][i] = static_cast<uint32_t>(product1);
    c[3][i] = static_cast<uint32_t>(product0);
  }
}

void philox(uint64_t first_block, uint64_t stream, uint64_t key, std::array<Words, 4>& c) {
  for (size_t i = 0; i < kBlocks; ++i) {
    c[0][i] = static_cast<uint32_t>(first_block + i);
    c[1][i] = static_cast<uint32_t>((first_block + i) >> 32);
    c[2][i] = static_cast<uint32_t>(stream);
    c[3][i] = static_cast<uint32_t>(stream >> 32);
  }
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    philox_round(key0, key1, c);
    key0 += 0x9E3779B9;  // Weyl sequences: the golden ratio, √3 - 1
    key1 += 0xBB67AE85;
  }
}

}  // namespace

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

void RandomStream::bits(uint64_t first_block, int64_t blocks, uint32_t* to) const {
  std::array<Words, 4> words;
  for (int64_t done = 0; done < blocks; done += kBlocks) {
    philox(first_block + static_cast<uint64_t>(done), stream_, seed_, words);
    const auto count = static_cast<size_t>(std::min<int64_t>(kBlocks, blocks - done));
    for (size_t i = 0; i < count; ++i) {
      for (size_t word = 0; word < 4; ++word) *to++ = words[word][i];
    }
  }
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
