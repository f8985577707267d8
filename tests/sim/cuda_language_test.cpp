// The language of kernels on the host: what is wrong in a kernel shows. Each kernel here that must
// fail stands beside one that differs in that alone and must not.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "sim/cuda/host/host_runtime.h"
#include "sim/cuda/host/sanitizers.h"
#include "sim/cuda/instructions.h"
#include "sim/cuda/language.h"
#include "sim/cuda/reduce.h"
#include "sim/cuda/vectors.h"
#include "sim/error.h"
#include "tests/sim/numbers.h"

namespace tplab {
namespace {

using Catch::Contains;

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}
constexpr int kRuns = 8;  // in which threads take turns in as many orders

// y[i] = x of the thread on the other side of the block, through shared memory.
template <bool kBarrier>
__global__ void turn_round(const float* x, float* y) {
  TPLAB_SHARED(float, all, [128]);
  all[threadIdx.x] = x[threadIdx.x];
  if constexpr (kBarrier) __syncthreads();
  y[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}

// y[i] = i + 2, round the block: two shifts by one in place, with a barrier between what all read
// and what they write, or none.
template <bool kBarrier>
__global__ void shift_twice(float* y) {
  float* const all = dynamic_shared<float>();
  all[threadIdx.x] = static_cast<float>(threadIdx.x);
  __syncthreads();
  for (int round = 0; round < 2; ++round) {
    const float next = all[(threadIdx.x + 1) % blockDim.x];
    if constexpr (kBarrier) __syncthreads();
    all[threadIdx.x] = next;
    __syncthreads();
  }
  y[threadIdx.x] = all[threadIdx.x];
}

// Whether all runs gave what the kernel is to give.
template <bool kBarrier>
bool turned_round() {
  std::vector<float> x(128), y(128);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) + 1;
  bool right = true;
  for (int run = 0; run < kRuns; ++run) {
    launch(nullptr, {"turn_round", 1, 128}, turn_round<kBarrier>, x.data(), y.data());
    for (size_t i = 0; i < x.size(); ++i) right &= y[i] == x[127 - i];
  }
  return right;
}
template <bool kBarrier>
bool shifted_twice() {
  std::vector<float> y(64);
  bool right = true;
  for (int run = 0; run < kRuns; ++run) {
    launch(nullptr, {"shift_twice", 1, 64, 64 * sizeof(float)}, shift_twice<kBarrier>, y.data());
    for (size_t i = 0; i < y.size(); ++i) right &= y[i] == static_cast<float>((i + 2) % 64);
  }
  return right;
}

}  // namespace

TEST_CASE("kernels: a missing barrier shows, before reading and before writing") {
  CHECK(turned_round<true>());
  CHECK_FALSE(turned_round<false>());
  CHECK(shifted_twice<true>());
  CHECK_FALSE(shifted_twice<false>());
}

namespace {

constexpr int kStuckLine = __LINE__ + 2;
__global__ void stuck_at_barrier(unsigned threads) {
  if (threadIdx.x < threads) __syncthreads();
}
__global__ void different_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void half_a_warp(float* y, unsigned mask) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(mask, 1.0f, 1);
}
__global__ void reads_lane(float* y, int lane) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, lane);
}

}  // namespace

TEST_CASE("kernels: a barrier that some threads never reach is named, with its kernel and line") {
  const auto stuck = [](unsigned threads) {
    return error_of([&] {
      launch(nullptr, {"stuck_at_barrier", {1, 3}, 64}, stuck_at_barrier, threads);
    });
  };
  CHECK(stuck(64).empty());
  CHECK(stuck(0).empty());
  CHECK_THAT(stuck(63), Contains("kernel stuck_at_barrier, block (0, ") &&
                            Contains("cuda_language_test.cpp:" + std::to_string(kStuckLine)) &&
                            Contains("of 64 threads 1 are done, 63 wait"));
  CHECK_THAT(error_of([] {
               launch(nullptr, {"different", 1, 64}, different_barriers);
             }),
             Contains("others at"));
  CHECK(stuck(64).empty());  // an error leaves nothing behind
}

TEST_CASE("kernels: what a warp does together it does with all lanes of its mask") {
  std::vector<float> y(32);
  const auto halved = [&](unsigned mask) {
    return error_of([&] { launch(nullptr, {"half", 1, 32}, half_a_warp, y.data(), mask); });
  };
  CHECK(halved(0xffff).empty());
  CHECK_THAT(halved(0xffffffffu), Contains("16 wait for lanes of a warp"));
  CHECK_THAT(halved(0x3fff), Contains("without the calling lane"));
  const auto read = [&](int lane) {
    return error_of([&] { launch(nullptr, {"reads_lane", 1, 32}, reads_lane, y.data(), lane); });
  };
  CHECK(read(15).empty());
  CHECK_THAT(read(16), Contains("not in the mask"));
}

namespace {

__global__ void leave_out_last(float* y) {
  TPLAB_SHARED(float, all, [32]);
  float* const dynamic = dynamic_shared<float>();
  if (threadIdx.x < 31) all[threadIdx.x] = dynamic[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = all[threadIdx.x] + dynamic[threadIdx.x];
}
__global__ void write_at(unsigned place) {
  TPLAB_SHARED(float, all, [2][16]);
  if (threadIdx.x == 0) (&all[0][0])[place] = 1;
}
__global__ void write_to(float* to, int64_t place) { to[place] = 1; }

}  // namespace

TEST_CASE("kernels: shared memory that nobody wrote is NaN, in every block anew") {
  std::vector<float> y(32);
  for (int block = 1; block <= 3; ++block) {
    launch(nullptr, {"leave_out_last", static_cast<unsigned>(block), 32, 32 * sizeof(float)},
           leave_out_last, y.data());
    for (size_t i = 0; i < 31; ++i) CHECK(y[i] == 2);
    CHECK(std::isnan(y[31]));
  }
}

// With AddressSanitizer the program ends at the write.
TEST_CASE("kernels: writes past shared memory and past arrays are told") {
  if (TPLAB_ASAN) return;
  const auto written = [](unsigned place) {
    return error_of([&] { launch(nullptr, {"write_at", 1, 32}, write_at, place); });
  };
  CHECK(written(31).empty());
  CHECK_THAT(written(32), Contains("kernel write_at") && Contains("past the end of shared memory"));

  for (const auto& [place, good] :
       {std::pair(6, true), std::pair(7, false), std::pair(-1, false)}) {
    const auto device = make_cuda_host_device();
    const Array x = device->allocate(DType::f32, {7});
    launch(nullptr, {"write_to", 1, 1}, write_to, x.as<float>(), place);
    const std::string told = error_of([&] { device->wait(); });
    CHECK(told.empty() == good);
    if (!good) CHECK_THAT(told, Contains("past the end of an array"));
  }
}

TEST_CASE("kernels: an array that was allocated is NaN until it is written") {
  const auto device = make_cuda_host_device();
  for (int round = 0; round < 2; ++round) {
    const Array x = device->allocate(DType::f64, {5});
    for (int64_t i = 0; i < 5; ++i) CHECK(std::isnan(x.as<double>()[i]));
    std::fill_n(x.as<double>(), 5, 1.0);
  }
}

TEST_CASE("kernels: a grid that no GPU runs is refused") {
  const auto with = [](cuda_host::Dimensions blocks, cuda_host::Dimensions threads, size_t shared) {
    return error_of([&] { launch(nullptr, {"any", blocks, threads, shared}, write_at, 0u); });
  };
  CHECK(with(1, {32, 32}, 0).empty());
  CHECK_THAT(with(1, {33, 32}, 0), Contains("kernel any"));
  CHECK_THAT(with({1, 65536}, 32, 0), Contains("kernel any"));
  CHECK_THAT(with(1, 32, 300 << 10), Contains("shared memory"));
  CHECK(with(0, 32, 0).empty());  // nothing to do
}

namespace {

// c = a bᵀ by one warp, the fragments loaded number by number. A wrong one has the columns of b's
// second half first.   a: [16, 16]   b: [8, 16]   c: [16, 8]
template <bool kWrong>
__global__ void multiply_tile(const bf16* a, const bf16* b, float* c) {
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair = [](const bf16* p) { return p[0].bits | uint32_t{p[1].bits} << 16; };
  const uint32_t of_a[4] = {pair(a + g * 16 + 2 * t), pair(a + (g + 8) * 16 + 2 * t),
                            pair(a + g * 16 + 2 * t + 8), pair(a + (g + 8) * 16 + 2 * t + 8)};
  const uint32_t of_b[2] = {pair(b + g * 16 + 2 * t + (kWrong ? 8 : 0)),
                            pair(b + g * 16 + 2 * t + (kWrong ? 0 : 8))};
  float d[4] = {};
  mma_16x8x16(d, of_a, of_b);
  for (unsigned i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

// The same from shared memory: copied there asynchronously, loaded as matrices. a is [16, 16], b is
// [8, 16], or transposed [16, 8].
template <bool kWait, bool kTransposed>
__global__ void multiply_shared(const bf16* a, const bf16* b, float* c) {
  TPLAB_SHARED(bf16, tile, [24][16]);
  const unsigned lane = threadIdx.x, g = lane / 4, t = lane % 4;
  copy_async_16(&tile[lane / 2][lane % 2 * 8], a + lane / 2 * 16 + lane % 2 * 8);
  bf16* const of_b = &tile[16][0];
  if (lane < 16) copy_async_16(of_b + lane * 8, b + lane * 8);
  commit_copies();
  if constexpr (kWait) wait_for_copies<0>();
  __syncthreads();
  uint32_t left[4], right[2];
  load_matrices(left, &tile[lane % 16][lane / 16 * 8]);
  if constexpr (kTransposed) {
    load_matrices<2, true>(right, of_b + lane % 16 * 8);
  } else {
    load_matrices(right, of_b + lane % 8 * 16 + lane / 8 % 2 * 8);
  }
  float d[4] = {};
  mma_16x8x16(d, left, right);
  for (unsigned i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

struct Tiles {
  alignas(16) bf16 a[16 * 16], b[8 * 16], b_transposed[16 * 8];
  float c[16 * 8];

  Tiles() {
    for (int i = 0; i < 256; ++i) a[i] = bf16(number_at(i, 1));
    for (int i = 0; i < 128; ++i) b[i] = bf16(number_at(i, 2));
    for (int i = 0; i < 128; ++i) b_transposed[i % 16 * 8 + i / 16] = b[i];
  }
  // Products of 8-bit numbers are exact; sums of 16 round at most 16 times: γ_16 Σ |a b| < 16.
  bool right() const {
    bool all = true;
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        Exact sum = 0;
        for (int k = 0; k < 16; ++k)
          sum += static_cast<Exact>(float(a[i * 16 + k])) * float(b[j * 16 + k]);
        all &= within(static_cast<double>(c[i * 8 + j]), sum, 16 * gamma_of<float>(16));
      }
    }
    return all;
  }
};

}  // namespace

TEST_CASE("kernels: tensor cores, matrix loads and asynchronous copies mean what the manual says") {
  Tiles tiles;
  const auto run = [&](auto kernel, const bf16* b) {
    std::fill_n(tiles.c, 128, 0.0f);
    const bf16* const a = tiles.a;
    launch(nullptr, {"multiply", 1, 32}, kernel, a, b, tiles.c);
    return tiles.right();
  };
  CHECK(run(multiply_tile<false>, tiles.b));
  CHECK_FALSE(run(multiply_tile<true>, tiles.b));
  CHECK(run(multiply_shared<true, false>, tiles.b));
  CHECK(run(multiply_shared<true, true>, tiles.b_transposed));
  CHECK_FALSE(run(multiply_shared<false, false>, tiles.b));  // a missing wait
  CHECK_FALSE(run(multiply_shared<true, true>, tiles.b));
}

namespace {

__global__ void load_at(const float* from, float* to) { store_pack(to, load_pack<4>(from)); }

// Sums of a block's threads, of warps as they are and of all.
__global__ void reduce_all(const double* x, double* y) {
  const double mine = x[threadIdx.x];
  y[threadIdx.x] = block_sum(mine);
  y[blockDim.x + threadIdx.x] = warp_sum(mine);
  y[2 * blockDim.x + threadIdx.x] = block_max(mine);
}
__global__ void shuffle_all_ways(int* y) {
  const int lane = static_cast<int>(threadIdx.x);
  y[lane] = __shfl_sync(kAllLanes, lane, 3, 8);
  y[32 + lane] = __shfl_up_sync(kAllLanes, lane, 2);
  y[64 + lane] = __shfl_down_sync(kAllLanes, lane, 2, 16);
  y[96 + lane] = __shfl_xor_sync(kAllLanes, lane, 5);
  y[128 + lane] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  y[160 + lane] = __any_sync(kAllLanes, lane == 7) + 2 * __all_sync(kAllLanes, lane < 31);
}

}  // namespace

TEST_CASE("kernels: 16 bytes at once are at multiples of 16, or it is said where they are not") {
  alignas(16) float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8] = {};
  launch(nullptr, {"load_at", 1, 1}, load_at, static_cast<const float*>(x + 4), y + 0);
  CHECK(y[3] == 8);
  const auto told = [&](const float* from, float* to) {
    return error_of([&] { launch(nullptr, {"load_at", 1, 1}, load_at, from, to); });
  };
  CHECK_THAT(told(x + 1, y), Contains("kernel load_at, block (0, 0, 0), thread (0, 0, 0)") &&
                                 Contains("cuda_language_test.cpp") && Contains("16 bytes"));
  CHECK_THAT(told(x, y + 2), Contains("16 bytes"));
}

TEST_CASE("kernels: shuffles, votes and sums over warps and blocks") {
  std::vector<int> y(192);
  launch(nullptr, {"shuffle_all_ways", 1, 32}, shuffle_all_ways, y.data());
  for (int lane = 0; lane < 32; ++lane) {
    const auto at = [&](int i) { return y[static_cast<size_t>(32 * i + lane)]; };
    CHECK(at(0) == lane / 8 * 8 + 3);
    CHECK(at(1) == (lane < 2 ? lane : lane - 2));
    CHECK(at(2) == (lane % 16 < 14 ? lane + 2 : lane));
    CHECK(at(3) == (lane ^ 5));
    CHECK(static_cast<unsigned>(at(4)) == 0x49249249u);
    CHECK(at(5) == 1);
  }
  for (const unsigned threads : {32u, 96u, 1024u}) {
    std::vector<double> x(threads), sums(size_t{3} * threads);
    double sum = 0;
    for (size_t i = 0; i < threads; ++i) sum += x[i] = static_cast<double>((i * 37) % 1024);
    const double* const from = x.data();
    launch(nullptr, {"reduce_all", 1, threads}, reduce_all, from, sums.data());
    double of_warp = 0;
    for (size_t i = 0; i < 32; ++i) of_warp += x[i];
    CHECK(sums[0] == sum);
    CHECK(sums[threads - 1] == sum);
    CHECK(sums[threads] == of_warp);
    CHECK(sums[2 * threads] == *std::max_element(x.begin(), x.end()));
  }
}

}  // namespace tplab
