// The seam below CudaDevice: what it asks of CUDA, for one rank. On GPUs it is CUDA and cuBLASLt;
// for --device cuda-host it is the host's memory, and everything is done when a call returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "sim/dtype.h"
#include "sim/memory_pool.h"

namespace tplab {

// y = op(a) op(b) + bias, or y += op(a) op(b).
//   op(a): [rows, depth]   op(b): [depth, cols]   y: [rows, cols]   bias: [cols] or null
// All are row-major without gaps; a transposed a is stored as [depth, rows], b as [cols, depth].
struct CudaProduct {
  const void *a, *b, *bias;  // the bias of the dtype of a and b; null where y is added to
  void* y;
  bool a_transposed, b_transposed, add;
  int64_t rows, cols, depth;
  DType dtype;    // of a and b; the sums are in accumulator(dtype)
  DType y_dtype;  // dtype, or accumulator(dtype)
};

// What a stream was once given to do. Its memory must last as long.
struct CapturedStep {
  std::shared_ptr<void> handle;
  int64_t nodes = 0;  // kernels, copies and fills
};

// One stream's work is done in the order of the calls. Its rank's thread alone uses it, but for
// what a MemorySource does.
class CudaRuntime : public MemorySource {
 public:
  virtual std::string_view name() const = 0;     // the device's: "cuda", "cuda-host"
  virtual bool memory_is_the_hosts() const = 0;  // so that the host may read and write it, too
  virtual void* stream() = 0;                    // for launch(), in language.h
  // Whether kernels may be given other ranks' memory; copy() may in any case.
  virtual bool reaches_peers() const { return true; }

  // --- The stream's work: it may be done after the call returns.

  // `from` may be changed once it returns; `to` is filled once it returns.
  virtual void upload(const void* from, void* to, int64_t bytes) = 0;
  virtual void download(const void* from, void* to, int64_t bytes) = 0;
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;
  virtual void set(void* to, int byte, int64_t bytes) = 0;
  virtual void multiply(const CudaProduct& product) = 0;
  virtual void wait() = 0;  // until all is done; throws what went wrong
  // Waiting calls `look` now and then, with how long it has waited: it throws where that is in
  // vain. `who`: whose it is; an empty one ends it.
  virtual void watch(const void* /*who*/, const std::function<void(double waited_s)>& /*look*/) {}

  // --- Events: a moment of the stream, which another rank's stream can wait for.

  virtual std::shared_ptr<void> record() = 0;
  virtual void wait_for(const std::shared_ptr<void>& event) = 0;

  // The same with its time, for Device::mark() and seconds_between().
  virtual std::shared_ptr<void> mark() = 0;
  virtual double seconds_between(const std::shared_ptr<void>& begin,
                                 const std::shared_ptr<void>& end) = 0;

  // --- Steps that are queued again and again (Device::capture).

  // From here to end_capture() the stream's work is written down and not done.
  virtual void begin_capture() = 0;
  // keep: false where the step failed, and what was written down is of no use.
  virtual CapturedStep end_capture(bool keep) = 0;
  virtual void replay(const CapturedStep& step) = 0;
};

}  // namespace tplab
