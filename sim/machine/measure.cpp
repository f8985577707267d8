// Times plain loops and products on a crew, and keeps the best.
#include "sim/machine/measure.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "sim/cpu/math.h"
#include "sim/device.h"
#include "sim/error.h"
#include "sim/machine/cgroup.h"
#include "sim/ops/list.h"
#include "sim/text/bytes_text.h"

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
template <class Real>
void fill(Real* data, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) data[i] = Real(static_cast<double>(i % 97) / 97 - 0.4);
}
Array filled(Device& device, Crew& crew, DType dtype, const Shape& shape) {
  Array x = device.allocate(dtype, shape);
  dispatch(dtype, [&](auto zero) {
    crew.parallel_for(x.count(), 1 << 16, [&](int64_t begin, int64_t end) {
      fill(x.as<decltype(zero)>(), begin, end);
    });
  });
  return x;
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

std::string word_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// All caches of the last level together, by what the kernel says of each and by what the C library
// says of all: virtual machines hide one or the other. 0 if neither is known.
int64_t last_cache_bytes() {
  namespace fs = std::filesystem;
  std::map<std::pair<int, std::string>, int64_t> caches;  // by level and the cores that share one
  std::error_code error;
  for (const auto& cpu : fs::directory_iterator("/sys/devices/system/cpu", error)) {
    for (const auto& cache : fs::directory_iterator(cpu.path() / "cache", error)) {
      const std::string level = word_in(cache.path() / "level");
      const std::string kib = word_in(cache.path() / "size");  // "32768K"
      if (!level.empty() && !kib.empty())
        caches[{std::atoi(level.c_str()), word_in(cache.path() / "shared_cpu_list")}] =
            std::atoll(kib.c_str()) * 1024;
    }
  }
  int64_t bytes = 0;
  for (const auto& [key, size] : caches)
    if (key.first == caches.rbegin()->first.first) bytes += size;
  return std::max<int64_t>(bytes, sysconf(_SC_LEVEL3_CACHE_SIZE));
}

// Enough that the last-level cache cannot hold a part worth having.
int64_t bytes_beyond_the_caches() {
  constexpr int64_t kLeast = 512 << 20, kCaches = 8, kMultiple = 64 << 20;
  const auto quarter = static_cast<int64_t>(physical_memory_bytes() / 4);
  const int64_t bytes = std::max(kLeast, std::min(kCaches * last_cache_bytes(), quarter));
  return bytes / kMultiple * kMultiple;
}

}  // namespace

ReadBandwidth measure_read_bandwidth(Crew& crew) {
  const auto device = make_cpu_device(crew);
  Array x = device->allocate(DType::f32, Shape{bytes_beyond_the_caches() / 4});
  device->zero(x);
  const double seconds = best_seconds(8, [&] { device->read({{x}}); });
  const auto bytes = static_cast<double>(x.bytes());
  return {bytes / seconds, x.bytes(), x.bytes() < 4 * last_cache_bytes()};
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
    const double by_linear = best_seconds(3, [&] { device->run(op::Linear{a, b, {}, c}); });
    const double by_eigen = best_seconds(2, [&] {
      dispatch_computed(dtype, [&](auto zero) { eigen_product<decltype(zero)>(crew, n, a, b, c); });
    });
    const auto size = static_cast<double>(n);
    best = std::max(best, 2 * size * size * size / std::min(by_linear, by_eigen));
  }
  return best;
}

namespace {

// What keeps a device busy: a GPU more.
int64_t probe_size(std::string_view device) { return device == "cuda" ? 8192 : 1024; }
int64_t probe_rows(int ranks, std::string_view device) {
  return std::max<int64_t>(1, probe_size(device) / ranks);
}

}  // namespace

MatmulProbe::MatmulProbe(Device& device, DType dtype, int ranks) : device_(device) {
  const int64_t n = probe_size(device.name()), rows = probe_rows(ranks, device.name());
  a_ = device.allocate(dtype, Shape{n, n});
  b_ = device.allocate(dtype, Shape{rows, n});
  c_ = device.allocate(dtype, Shape{n, rows});
  for (Array* x : {&a_, &b_}) {
    dispatch(dtype, [&](auto zero) {
      std::vector<decltype(zero)> numbers(static_cast<size_t>(x->count()));
      fill(numbers.data(), 0, x->count());
      device.upload({dtype, numbers.data(), x->count()}, *x);
    });
  }
}

void MatmulProbe::run() { device_.run(op::Linear{a_, b_, {}, c_}); }

double MatmulProbe::flops(int ranks, std::string_view device) {
  const int64_t n = probe_size(device);
  return 2.0 * static_cast<double>(n * n * probe_rows(ranks, device)) * ranks;
}

void require_memory(const std::string& what, double bytes, const std::string& fix) {
  const auto refuse_past = [&](double limit, const char* whose) {
    if (bytes <= limit) return;
    fail_unavailable(fmt::format("{} needs about {} of memory, and {} {}", what, bytes_text(bytes),
                                 whose, bytes_text(limit)),
                     fix);
  };
  refuse_past(physical_memory_bytes(), "this machine has");
  if (const auto limit = cgroup_limits().memory_bytes)
    refuse_past(static_cast<double>(*limit), "this container (its control group) may have");
  rlimit space = {};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    refuse_past(static_cast<double>(space.rlim_cur), "this process may have (ulimit -v)");
}

}  // namespace tplab
