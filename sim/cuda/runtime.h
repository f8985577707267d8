// The seam below CudaDevice: what it asks of CUDA, for one rank. On GPUs it is CUDA and cuBLASLt;
// for --device cuda-host it is the host's memory, and everything is done when it returns.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/dtype.h"

namespace tplab {

// y = op(a) op(b) + bias, or y += op(a) op(b).
//   op(a): [rows, depth]   op(b): [depth, cols]   y: [rows, cols]   bias: [cols] or null
// All are row-major without gaps, a and b, where transposed, as [depth, rows] and [cols, depth].
struct CudaProduct {
  const void *a, *b, *bias;  // bias in the dtype of a and b; null where `add`
  void* y;
  bool a_transposed, b_transposed, add;
  int64_t rows, cols, depth;
  DType dtype;    // of a and b; sums in accumulator(dtype)
  DType y_dtype;  // dtype, or accumulator(dtype)
};

// Of one stream, in the order of the calls. Used by its rank's thread, but for give_back.
class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;

  virtual std::string_view name() const = 0;  // the device's: "cuda", "cuda-host"
  virtual bool host_memory() const = 0;       // its memory is the host's, too

  // --- Memory. From any thread, and by whoever still holds memory when the rank is gone.

  virtual void* take(int64_t bytes) = 0;  // null when there is none
  virtual void give_back(void* data, int64_t bytes) = 0;
  virtual int64_t free_bytes() const = 0;  // that take could give, about
  // A block that was taken serves an array of `bytes`, whose contents are undefined.
  virtual void lend(void* data, int64_t bytes) = 0;

  // --- The stream's work: it may be done after the call returns.

  virtual void* stream() = 0;  // for launch(), in language.h
  // `from` may be changed once it returns; `to` is filled once it returns.
  virtual void upload(const void* from, void* to, int64_t bytes) = 0;
  virtual void download(const void* from, void* to, int64_t bytes) = 0;
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;
  virtual void set(void* to, int byte, int64_t bytes) = 0;
  virtual void multiply(const CudaProduct& product) = 0;
  virtual void wait() = 0;  // until all is done; throws what went wrong

  // --- Events: a moment of the stream. What another stream waits for is done before its next work.

  virtual std::shared_ptr<void> record() = 0;
  virtual void wait_for(void* event) = 0;
};

}  // namespace tplab
