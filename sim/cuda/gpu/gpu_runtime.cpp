#include "sim/cuda/gpu/gpu_runtime.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sim/cuda/gpu/check.h"
#include "sim/cuda/gpu/products.h"
#include "sim/error.h"
#include "sim/text/bytes_text.h"

namespace tplab {
namespace {

// Events that were used and may be used again: making one takes longer than all else about it.
class EventPool {
 public:
  explicit EventPool(int gpu) : gpu_(gpu) {}
  ~EventPool() {
    static_cast<void>(cudaSetDevice(gpu_));
    for (cudaEvent_t event : free_) static_cast<void>(cudaEventDestroy(event));
  }
  EventPool(const EventPool&) = delete;
  EventPool& operator=(const EventPool&) = delete;

  cudaEvent_t take(const std::string& who) {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        const cudaEvent_t event = free_.back();
        free_.pop_back();
        return event;
      }
    }
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate", who);
    return event;
  }
  // Whoever waits for it waits for what it was when the wait was asked for.
  void give_back(cudaEvent_t event) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      free_.push_back(event);
    } catch (...) {
      static_cast<void>(cudaEventDestroy(event));
    }
  }

 private:
  const int gpu_;
  std::mutex mutex_;
  std::vector<cudaEvent_t> free_;
};

// Host memory that the GPU reads and writes by itself, in a ring of slots: the host goes on while
// the copies of the slots before are still on their way.
class Staging {
 public:
  static constexpr size_t kSlotBytes = size_t{2} << 20;

  ~Staging() {
    for (Slot& slot : slots_) {
      if (slot.copied) static_cast<void>(cudaEventDestroy(slot.copied));
      if (slot.memory) static_cast<void>(cudaFreeHost(slot.memory));
    }
  }

  // A slot that no copy uses any more.   wait: for an event
  template <class Wait>
  void* next(const std::string& who, const Wait& wait) {
    last_ = (last_ + 1) % slots_.size();
    Slot& slot = slots_[last_];
    if (!slot.memory) {
      check_cuda(cudaHostAlloc(&slot.memory, kSlotBytes, cudaHostAllocDefault), "cudaHostAlloc",
                 who);
      check_cuda(cudaEventCreateWithFlags(&slot.copied, cudaEventDisableTiming), "cudaEventCreate",
                 who);
    } else {
      wait(slot.copied);
    }
    return slot.memory;
  }
  // The copy of the slot that next() gave was queued.
  void queued(cudaStream_t stream, const std::string& who) {
    check_cuda(cudaEventRecord(slots_[last_].copied, stream), "cudaEventRecord", who);
  }

 private:
  struct Slot {
    void* memory = nullptr;
    cudaEvent_t copied = nullptr;
  };
  std::array<Slot, 8> slots_;
  size_t last_ = 0;
};

// While it lives, this thread may ask for memory although a stream is being captured.
class UnheededCapture {
 public:
  UnheededCapture() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  ~UnheededCapture() { static_cast<void>(cudaThreadExchangeStreamCaptureMode(&mode_)); }
  UnheededCapture(const UnheededCapture&) = delete;
  UnheededCapture& operator=(const UnheededCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

class GpuRuntime final : public CudaRuntime {
 public:
  explicit GpuRuntime(const GpuSeat& seat) {
    int count = 0;
    check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    gpu_ = seat.place % count;
    who_ = fmt::format("rank {} on GPU {}", seat.rank, gpu_);
    use();
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate",
               who_);
    events_ = std::make_shared<EventPool>(gpu_);
    reaches_peers_ = gpus_reach_each_other(seat.places);
    for (int other = 0; reaches_peers_ && other < std::min(count, seat.places); ++other)
      reach(other);
    products_ = std::make_unique<GpuProducts>(stream_, who_);
  }
  ~GpuRuntime() override {
    static_cast<void>(cudaSetDevice(gpu_));
    if (stream_) static_cast<void>(cudaStreamSynchronize(stream_));
    for (void* data : freed_in_capture_) static_cast<void>(cudaFree(data));
    products_.reset();
    if (stream_) static_cast<void>(cudaStreamDestroy(stream_));
  }

  std::string_view name() const override { return "cuda"; }
  bool memory_is_the_hosts() const override { return false; }
  bool reaches_peers() const override { return reaches_peers_; }
  void* stream() override {
    use();
    return stream_;
  }

  // --- Memory: plain cudaMalloc, which peers can be given access to and which CUDA graphs take as
  // it is. The pool sees to it that it is seldom asked.

  // Eight sizes from one power of two to the next.
  int64_t rounded(int64_t bytes) const override {
    constexpr int64_t kLeast = 512;
    if (bytes <= kLeast) return kLeast;
    const auto last = static_cast<uint64_t>(bytes - 1);
    const int64_t step = std::max(kLeast, int64_t{1} << (std::bit_width(last) - 4));
    return bytes > INT64_MAX - step ? bytes : (bytes + step - 1) / step * step;
  }
  void* take(int64_t size) override {
    use();
    const UnheededCapture unheeded;
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(size));
    if (error == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());  // it is said by who asked
      return nullptr;
    }
    check_cuda(error, "cudaMalloc", who_);
    return data;
  }
  void give_back(void* data, int64_t) noexcept override {
    static_cast<void>(cudaSetDevice(gpu_));
    if (capturing_) {  // cudaFree waits for the GPU, which a capture forbids
      try {
        freed_in_capture_.push_back(data);
      } catch (...) {  // kept to the end of the process
      }
      return;
    }
    static_cast<void>(cudaFree(data));  // after all that uses it
  }
  std::string free_text() const override {
    size_t free = 0, total = 0;
    if (cudaSetDevice(gpu_) != cudaSuccess || cudaMemGetInfo(&free, &total) != cudaSuccess)
      return {};
    return fmt::format(" on GPU {}, where {} of {} is free (rank {})", gpu_,
                       bytes_text(static_cast<int64_t>(free)),
                       bytes_text(static_cast<int64_t>(total)),
                       who_.substr(5, who_.find(' ', 5) - 5));
  }
  std::string_view way_out() const override {
    return "use a smaller model, batch or sequence, --dtype bf16, or fewer ranks on a GPU; "
           "nvidia-smi shows what other programs hold";
  }

  // --- The stream's work.

  void upload(const void* from, void* to, int64_t bytes) override {
    use();
    refuse_in_capture("an upload");
    each_slot(bytes, [&](int64_t begin, size_t size) {
      void* const slot = next_slot();
      std::memcpy(slot, static_cast<const char*>(from) + begin, size);
      check_cuda(cudaMemcpyAsync(static_cast<char*>(to) + begin, slot, size, cudaMemcpyHostToDevice,
                                 stream_),
                 "cudaMemcpyAsync (upload)", who_);
      staging_.queued(stream_, who_);
    });
  }
  void download(const void* from, void* to, int64_t bytes) override {
    use();
    refuse_in_capture("a download");
    each_slot(bytes, [&](int64_t begin, size_t size) {
      void* const slot = next_slot();
      check_cuda(cudaMemcpyAsync(slot, static_cast<const char*>(from) + begin, size,
                                 cudaMemcpyDeviceToHost, stream_),
                 "cudaMemcpyAsync (download)", who_);
      staging_.queued(stream_, who_);
      wait();
      std::memcpy(static_cast<char*>(to) + begin, slot, size);
    });
  }
  void copy(const void* from, void* to, int64_t bytes) override {
    use();
    if (bytes == 0) return;
    // Addresses are unique over all GPUs: CUDA knows where each of the two lies.
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_),
               "cudaMemcpyAsync", who_);
  }
  void set(void* to, int byte, int64_t bytes) override {
    use();
    if (bytes == 0) return;
    check_cuda(cudaMemsetAsync(to, byte, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync",
               who_);
  }
  void multiply(const CudaProduct& product) override {
    use();
    products_->multiply(product);
  }
  void wait() override {
    use();
    refuse_in_capture("a wait");
    if (watchers_.empty())
      return check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize", who_);
    poll([&] { return cudaStreamQuery(stream_); }, "cudaStreamQuery");
  }
  void watch(const void* who, const std::function<void(double waited_s)>& look) override {
    if (look)
      watchers_[who] = look;
    else
      watchers_.erase(who);
  }

  // --- Events.

  std::shared_ptr<void> record() override {
    use();
    const cudaEvent_t event = events_->take(who_);
    std::shared_ptr<void> handle(
        event, [pool = events_](void* one) { pool->give_back(static_cast<cudaEvent_t>(one)); });
    check_cuda(cudaEventRecord(event, stream_), "cudaEventRecord", who_);
    return handle;
  }
  void wait_for(const std::shared_ptr<void>& event) override {
    if (!event) return;
    use();
    check_cuda(cudaStreamWaitEvent(stream_, static_cast<cudaEvent_t>(event.get()), 0),
               "cudaStreamWaitEvent", who_);
  }

  std::shared_ptr<void> mark() override {
    use();
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreate(&event), "cudaEventCreate", who_);
    std::shared_ptr<void> handle(event, [](void* one) {
      static_cast<void>(cudaEventDestroy(static_cast<cudaEvent_t>(one)));
    });
    check_cuda(cudaEventRecord(event, stream_), "cudaEventRecord", who_);
    return handle;
  }
  double seconds_between(const std::shared_ptr<void>& begin,
                         const std::shared_ptr<void>& end) override {
    use();
    const auto last = static_cast<cudaEvent_t>(end.get());
    wait_until(last);
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin.get()), last),
               "cudaEventElapsedTime", who_);
    return static_cast<double>(milliseconds) * 1e-3;
  }

  // --- Steps that are queued again and again.

  void begin_capture() override {
    use();
    // What another thread does with its own stream is no business of this one's.
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
               "cudaStreamBeginCapture", who_);
    capturing_ = true;
  }
  CapturedStep end_capture(bool keep) override {
    use();
    cudaGraph_t graph = nullptr;
    const cudaError_t error = cudaStreamEndCapture(stream_, &graph);
    capturing_ = false;
    for (void* data : std::exchange(freed_in_capture_, {})) static_cast<void>(cudaFree(data));
    const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, decltype(&cudaGraphDestroy)> owner(
        graph, &cudaGraphDestroy);
    if (!keep) {
      static_cast<void>(cudaGetLastError());
      return {};
    }
    check_cuda(error, "cudaStreamEndCapture", who_);
    CapturedStep step;
    size_t nodes = 0;
    check_cuda(cudaGraphGetNodes(graph, nullptr, &nodes), "cudaGraphGetNodes", who_);
    step.nodes = static_cast<int64_t>(nodes);
    cudaGraphExec_t made = nullptr;
    check_cuda(cudaGraphInstantiate(&made, graph, 0), "cudaGraphInstantiate", who_);
    step.handle = std::shared_ptr<void>(made, [gpu = gpu_](void* one) {
      static_cast<void>(cudaSetDevice(gpu));
      static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(one)));
    });
    return step;
  }
  void replay(const CapturedStep& step) override {
    use();
    check_cuda(cudaGraphLaunch(static_cast<cudaGraphExec_t>(step.handle.get()), stream_),
               "cudaGraphLaunch", who_);
  }

 private:
  void* next_slot() {
    return staging_.next(who_, [&](cudaEvent_t event) { wait_until(event); });
  }
  void wait_until(cudaEvent_t event) {
    if (watchers_.empty())
      return check_cuda(cudaEventSynchronize(event), "cudaEventSynchronize", who_);
    poll([&] { return cudaEventQuery(event); }, "cudaEventQuery");
  }

  // Until `query` is no longer "not ready"; whoever watches looks each millisecond.
  template <class Query>
  void poll(const Query& query, const char* call) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    auto looked = begin;
    while (true) {
      const cudaError_t state = query();
      if (state != cudaErrorNotReady) return check_cuda(state, call, who_);
      const auto now = Clock::now();
      if (now - looked < std::chrono::milliseconds(1)) {
        std::this_thread::yield();
        continue;
      }
      looked = now;
      const double waited_s = std::chrono::duration<double>(now - begin).count();
      for (const auto& [who, look] : watchers_) look(waited_s);
    }
  }

  // Each thread has a current GPU of its own, on which CUDA's calls and launches work.
  void use() const { check_cuda(cudaSetDevice(gpu_), "cudaSetDevice", who_); }

  void reach(int other) {
    if (other == gpu_) return;
    const cudaError_t error = cudaDeviceEnablePeerAccess(other, 0);
    if (error == cudaErrorPeerAccessAlreadyEnabled)
      static_cast<void>(cudaGetLastError());
    else
      check_cuda(error, "cudaDeviceEnablePeerAccess", who_);
  }

  template <class F>
  static void each_slot(int64_t bytes, const F& f) {
    constexpr auto kSlot = static_cast<int64_t>(Staging::kSlotBytes);
    for (int64_t begin = 0; begin < bytes; begin += kSlot)
      f(begin, static_cast<size_t>(std::min(kSlot, bytes - begin)));
  }

  void refuse_in_capture(const char* what) const {
    if (!capturing_) return;
    throw Error(ErrorKind::run,
                fmt::format("{}: {} in a step that is being captured to be replayed", who_, what),
                "do it before the step, or after");
  }

  int gpu_ = 0;
  bool reaches_peers_ = true;
  std::string who_;
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<EventPool> events_;
  Staging staging_;
  std::unique_ptr<GpuProducts> products_;
  std::map<const void*, std::function<void(double waited_s)>> watchers_;
  bool capturing_ = false;
  std::vector<void*> freed_in_capture_;
};

}  // namespace

std::shared_ptr<CudaRuntime> make_gpu_runtime(const GpuSeat& seat) {
  check_gpus();
  return std::make_shared<GpuRuntime>(seat);
}

}  // namespace tplab
