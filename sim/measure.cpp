// Times plain loops and products on a crew, and keeps the best.
#include "sim/measure.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <vector>

#include "sim/cpu/math.h"
#include "sim/device.h"
#include "sim/error.h"

namespace tplab {
namespace {

// The least seconds that f takes in `runs` runs.
template <class F>
double best_seconds(int runs, F&& f) {
  using Clock = std::chrono::steady_clock;
  double best = 1e300;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

// Numbers without a pattern that a product could profit from, none of them denormal.
Array filled(Device& device, Crew& crew, DType dtype, const Shape& shape) {
  Array x = device.allocate(dtype, shape);
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    crew.parallel_for(x.count(), 1 << 16, [&](int64_t begin, int64_t end) {
      Real* const data = x.as<Real>();
      for (int64_t i = begin; i < end; ++i) data[i] = Real(i % 97) / Real(97) - Real(0.4);
    });
  });
  return x;
}

float sum_of(const float* x, int64_t count) {
  using namespace cpu;
  constexpr int64_t kSums = 8, kStep = kSums * kWidth<float>;
  Packet<float> sums[kSums];
  for (auto& sum : sums) sum = all(0.0f);
  for (int64_t i = 0; i + kStep <= count; i += kStep) {
    for (int64_t s = 0; s < kSums; ++s) {
      sums[s] = Eigen::internal::padd(sums[s], load(x + i + s * kWidth<float>));
    }
  }
  float total = 0;
  for (const auto& sum : sums) total += Eigen::internal::predux(sum);
  return total;
}

// c = a b, n by n. The lanes share out the columns of c.
template <class Real>
void eigen_product(Crew& crew, int64_t n, const Array& a, const Array& b, Array& c) {
  using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
  using Strided = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;  // distinct from verify's types
  const Eigen::OuterStride<> stride(n);
  crew.parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    const Strided left(a.as<Real>(), n, n, stride);
    const Strided right(b.as<Real>() + begin * n, n, end - begin, stride);
    Strided(c.as<Real>() + begin * n, n, end - begin, stride).noalias() = left * right;
  });
}

double physical_memory_bytes() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Of which the last-level cache, where the system tells its size, cannot hold a part worth having:
// passes over 512 MiB beside 260 MiB of cache read half as fast again as the memory does.
int64_t bytes_beyond_the_caches() {
  constexpr int64_t kLeast = 512 << 20, kCaches = 8, kMultiple = 64 << 20;
  const auto cache = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), 0);
  const auto quarter = static_cast<int64_t>(physical_memory_bytes() / 4);
  const int64_t bytes = std::max(kLeast, std::min(kCaches * cache, quarter));
  return bytes / kMultiple * kMultiple;
}

}  // namespace

double measure_read_bandwidth(Crew& crew) {
  const auto device = make_cpu_device(crew);
  Array x = device->allocate(DType::f32, Shape{bytes_beyond_the_caches() / 4});
  device->zero(x);
  const float* const data = x.as<float>();
  constexpr int64_t kLine = 4096;  // parts begin at a multiple of this
  volatile float sink = 0;         // so that no sum is left out
  const double seconds = best_seconds(8, [&] {
    crew.parallel_for(x.count() / kLine, 1, [&](int64_t begin, int64_t end) {
      const float sum = sum_of(data + begin * kLine, (end - begin) * kLine);
      if (begin == 0) sink = sum;
    });
  });
  static_cast<void>(sink);
  return static_cast<double>(x.bytes()) / seconds;
}

double measure_copy_bandwidth(Crew& crew) {
  const auto device = make_cpu_device(crew);
  const Array from = filled(*device, crew, DType::f32, Shape{64 << 20});
  Array to = filled(*device, crew, DType::f32, Shape{64 << 20});
  const double seconds =
      best_seconds(5, [&] { device->copy(from.data(), to.data(), from.bytes()); });
  return static_cast<double>(from.bytes()) / seconds;
}

double measure_matmul_flops(Crew& crew, DType dtype) {
  const auto device = make_cpu_device(crew);
  double best = 0;
  for (const int64_t n : {768, 1024, 1536}) {
    const Array a = filled(*device, crew, dtype, Shape{n, n});
    const Array b = filled(*device, crew, dtype, Shape{n, n});
    Array c = device->allocate(dtype, Shape{n, n});
    const double by_linear = best_seconds(3, [&] { device->linear(a, b, nullptr, c); });
    const double by_eigen = best_seconds(2, [&] {
      dispatch(dtype, [&](auto zero) { eigen_product<decltype(zero)>(crew, n, a, b, c); });
    });
    const auto size = static_cast<double>(n);
    best = std::max(best, 2 * size * size * size / std::min(by_linear, by_eigen));
  }
  return best;
}

void require_memory(const std::string& what, double bytes, const std::string& fix) {
  const double has = physical_memory_bytes();
  if (bytes <= has) return;
  constexpr double kGiB = 1 << 30;
  fail_unavailable(fmt::format("{} needs about {:.1f} GiB of memory, and this machine has {:.1f}",
                               what, bytes / kGiB, has / kGiB),
                   fix);
}

}  // namespace tplab
