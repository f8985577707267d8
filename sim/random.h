// Random numbers that depend on what they are for, never on who draws them: every value is a
// function of (seed, stream name, global index), so a model has the same weights at every tp.
//
// source: Philox4x32-10, Salmon et al. 2011, from the Random123 library
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tplab {

class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name);

  // What block n's numbers are Philox of: key() of the counter {n, stream()}.
  uint64_t key() const { return seed_; }
  uint64_t stream() const { return stream_; }

  // The block-th four of the stream's 32-bit numbers.
  std::array<uint32_t, 4> bits(uint64_t block) const;
  // The same for `blocks` consecutive blocks, 4 blocks numbers, many times as fast.
  void bits(uint64_t first_block, int64_t blocks, uint32_t* to) const;

  // The block-th four of the stream's standard normals: indices 4 block .. 4 block + 3.
  // By Box and Muller (1958), in f32, with scalar functions only: the same bits at any position.
  std::array<float, 4> normals(uint64_t block) const;

  // The index-th of the stream's uniform numbers in [0, 1), with 53 random bits.
  double uniform(uint64_t index) const;

 private:
  uint64_t seed_, stream_;
};

}  // namespace tplab
