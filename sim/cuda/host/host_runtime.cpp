#include "sim/cuda/host/host_runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "sim/clock.h"
#include "sim/cuda/host/grid.h"
#include "sim/cuda/host/sanitizers.h"
#include "sim/error.h"

namespace tplab {
namespace {

constexpr int kUndefined = 0xff;   // NaN as a float, a double, a bf16
constexpr int64_t kRedZone = 256;  // bytes, cudaMalloc's alignment

// The product as it is defined, in the accumulator's type; rows of y are summed up one behind the
// other, so that compilers make SIMD instructions of it.
template <class Real, class Sum, class Out>
void multiply_plainly(const CudaProduct& p) {
  const auto *const a = static_cast<const Real*>(p.a), *const b = static_cast<const Real*>(p.b);
  const auto* const bias = static_cast<const Real*>(p.bias);
  auto* const y = static_cast<Out*>(p.y);
  std::vector<Sum> columns(static_cast<size_t>(p.depth * p.cols));  // op(b), row-major
  for (int64_t k = 0; k < p.depth; ++k) {
    for (int64_t c = 0; c < p.cols; ++c) {
      columns[static_cast<size_t>(k * p.cols + c)] =
          static_cast<Sum>(b[p.b_transposed ? c * p.depth + k : k * p.cols + c]);
    }
  }
  std::vector<Sum> sums(static_cast<size_t>(p.cols));
  for (int64_t r = 0; r < p.rows; ++r) {
    std::fill(sums.begin(), sums.end(), Sum(0));
    for (int64_t k = 0; k < p.depth; ++k) {
      const auto factor = static_cast<Sum>(a[p.a_transposed ? k * p.rows + r : r * p.depth + k]);
      const Sum* const row = columns.data() + k * p.cols;
      for (int64_t c = 0; c < p.cols; ++c) sums[static_cast<size_t>(c)] += factor * row[c];
    }
    for (int64_t c = 0; c < p.cols; ++c) {
      Sum sum = sums[static_cast<size_t>(c)];
      Out& out = y[r * p.cols + c];
      if (bias) sum += static_cast<Sum>(bias[c]);
      if (p.add) sum += static_cast<Sum>(out);
      out = static_cast<Out>(sum);
    }
  }
}

class CudaHostRuntime final : public CudaRuntime {
 public:
  std::string_view name() const override { return "cuda-host"; }
  bool memory_is_the_hosts() const override { return true; }
  void* stream() override { return nullptr; }

  // Every size is its own, so that what lies behind an array is always a red zone.
  int64_t rounded(int64_t bytes) const override { return bytes; }
  void* take(int64_t size) override {
    const int64_t whole = size + 2 * kRedZone + (-size & (kRedZone - 1));
    auto* const begin = static_cast<unsigned char*>(
        std::aligned_alloc(static_cast<size_t>(kRedZone), static_cast<size_t>(whole)));
    if (!begin) return nullptr;
    unsigned char* const data = begin + kRedZone;
    std::memset(begin, kUndefined, static_cast<size_t>(whole));
    cuda_host::forbid(begin, static_cast<size_t>(kRedZone));
    cuda_host::forbid(data + size, static_cast<size_t>(kRedZone));
    const std::lock_guard lock(mutex_);
    blocks_.emplace(data, size);
    return data;
  }
  void give_back(void* data, int64_t size) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      touched_ |= touched_around(data, size);
      blocks_.erase(data);
    }
    auto* const begin = static_cast<unsigned char*>(data) - kRedZone;
    cuda_host::permit(begin, static_cast<size_t>(size + 2 * kRedZone));
    std::free(begin);
  }
  void lend(void* data, int64_t bytes) override {
    std::memset(data, kUndefined, static_cast<size_t>(bytes));
  }
  std::string_view way_out() const override {
    return "use a smaller model, batch or sequence: cuda-host is for small ones";
  }

  void upload(const void* from, void* to, int64_t bytes) override {
    refuse_in_capture("an upload");
    copy(from, to, bytes);
  }
  void download(const void* from, void* to, int64_t bytes) override {
    refuse_in_capture("a download");
    copy(from, to, bytes);
    wait();
  }
  void copy(const void* from, void* to, int64_t bytes) override {
    do_or_write([=] {
      if (bytes > 0) std::memmove(to, from, static_cast<size_t>(bytes));
    });
  }
  void set(void* to, int byte, int64_t bytes) override {
    do_or_write([=] {
      if (bytes > 0) std::memset(to, byte, static_cast<size_t>(bytes));
    });
  }
  void multiply(const CudaProduct& product) override {
    do_or_write([p = product] {
      if (p.dtype == DType::f64) return multiply_plainly<double, double, double>(p);
      if (p.dtype == DType::f32) return multiply_plainly<float, float, float>(p);
      if (p.y_dtype == DType::f32) return multiply_plainly<bf16, float, float>(p);
      multiply_plainly<bf16, float, bf16>(p);
    });
  }
  // All is done; kernels may have written around an array all the same.
  void wait() override {
    refuse_in_capture("a wait");
    for (const auto& [who, look] : watchers_) look(0);
    const std::lock_guard lock(mutex_);
    for (const auto& [data, size] : blocks_) touched_ |= touched_around(data, size);
    if (!touched_) return;
    throw Error(ErrorKind::run, "a kernel wrote past the end of an array, or before it",
                "build with -DTPLAB_SANITIZE=address, which names the line");
  }

  void watch(const void* who, const std::function<void(double waited_s)>& look) override {
    if (look)
      watchers_[who] = look;
    else
      watchers_.erase(who);
  }

  std::shared_ptr<void> record() override { return nullptr; }
  void wait_for(const std::shared_ptr<void>&) override {}
  std::shared_ptr<void> mark() override { return std::make_shared<int64_t>(now_ns()); }
  double seconds_between(const std::shared_ptr<void>& begin,
                         const std::shared_ptr<void>& end) override {
    const auto ns = [](const std::shared_ptr<void>& moment) {
      return *static_cast<const int64_t*>(moment.get());
    };
    return static_cast<double>(ns(end) - ns(begin)) * 1e-9;
  }

  void begin_capture() override {
    captured_ = std::make_shared<cuda_host::Work>();
    cuda_host::written_work = captured_.get();
  }
  CapturedStep end_capture(bool) override {
    cuda_host::written_work = nullptr;
    const auto nodes = static_cast<int64_t>(captured_->size());
    return {std::exchange(captured_, nullptr), nodes};
  }
  void replay(const CapturedStep& step) override {
    for (const auto& work : *static_cast<const cuda_host::Work*>(step.handle.get())) work();
  }

 private:
  template <class Do>
  void do_or_write(const Do& work) {
    if (captured_) return captured_->push_back(work);
    work();
  }
  void refuse_in_capture(const char* what) const {
    if (!captured_) return;
    throw Error(ErrorKind::run,
                fmt::format("{} in a step that is being captured to be replayed", what),
                "do it before the step, or after");
  }

  static bool touched_around(const void* data, int64_t size) {
    if (TPLAB_ASAN) return false;  // it has said so
    const auto* const from = static_cast<const unsigned char*>(data);
    const auto touched = [](unsigned char c) { return c != kUndefined; };
    return std::any_of(from - kRedZone, from, touched) ||
           std::any_of(from + size, from + size + kRedZone, touched);
  }

  std::map<const void*, std::function<void(double waited_s)>> watchers_;
  std::mutex mutex_;
  std::map<void*, int64_t> blocks_;  // their sizes
  bool touched_ = false;
  std::shared_ptr<cuda_host::Work> captured_;  // while a step is
};

}  // namespace

std::shared_ptr<CudaRuntime> make_cuda_host_runtime() {
  return std::make_shared<CudaHostRuntime>();
}

}  // namespace tplab
