// The device seam: memory, and operations run on it, of one rank.
//
// A device knows nothing of other ranks. Placements are checked one level up, where operations are
// made (ops/); shapes and dtypes are checked there too. Sizes here are local: what this rank holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sim/array.h"

namespace tplab {

class Crew;
struct Operation;  // ops/list.h

struct MemoryUse {
  int64_t current_bytes = 0;  // allocated now
  int64_t peak_bytes = 0;     // the most ever allocated at once
};

// What a step gave its device to do, written down once (Device::capture).
class Replay {
 public:
  virtual ~Replay() = default;
  virtual void run() = 0;                // gives the device all of it again
  virtual int64_t launches() const = 0;  // kernels, copies and fills
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;
  // False for the meta device, which knows shapes only: loading into it would be in vain.
  virtual bool has_numbers() const { return true; }

  // --- Memory. Owned by the arrays; freed memory is kept for the next allocation of its size.

  // Contents are undefined. Throws Error(unavailable) with the size when memory runs out.
  virtual Array allocate(DType dtype, const Shape& shape) = 0;
  // REQUIRES: equal dtype and count. `from` may be changed, and be gone, once it returns.
  virtual void upload(HostSpan from, Array& to) = 0;
  virtual void download(const Array& from, HostSpan to) = 0;  // likewise; `to` is filled
  virtual void zero(Array& x) = 0;
  // The numbers themselves where the device's memory is host memory, else null (use upload).
  virtual void* host_memory(Array&) { return nullptr; }
  virtual MemoryUse memory() const = 0;

  // --- Operations. They may be done after run() returns, in the order in which they were given;
  // what else is called below and above takes its turn in that order.

  virtual void run(const Operation& operation) = 0;
  virtual void wait() {}  // until all are done

  // Calls `step`, whose work is written down and not done, to be given again and again with none of
  // the host's part in it. Null where the device cannot: step was not called, and is to be called
  // each time. What step allocated lasts as long as what is returned: its results are where they
  // were. REQUIRES: step was done once before, gives the same work each time (what changes is read
  // from arrays), and neither uploads, downloads, waits nor communicates.
  virtual std::unique_ptr<Replay> capture(const std::function<void()>& /*step*/) { return nullptr; }

  // --- For communicators: memory of several ranks, element by element. Raw pointers of this
  // device's kind of memory.

  // out = terms[0] + terms[1] + ... in that order, whatever the number of threads; of bf16 in f32,
  // rounded once. out may be one of the terms.
  virtual void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  // out = the largest of the terms, element by element; NaN if any term is NaN.
  virtual void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  // The same into each of `outs`, which may be some of the terms.
  virtual void sum_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                          DType dtype, int64_t count);
  virtual void max_to_all(std::span<const void* const> terms, std::span<void* const> outs,
                          DType dtype, int64_t count);
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;

  // A moment in what this device was given to do: null where all is done when a call returns. What
  // another device is given after wait_for() begins after that moment.
  virtual std::shared_ptr<void> record() { return nullptr; }
  virtual void wait_for(const std::shared_ptr<void>& /*moment*/) {}

  // --- For benchmarks.

  // Reads all numbers and forgets them, as fast as it can: what any operation on them takes at
  // least.
  virtual void read(std::span<const Array> arrays) = 0;

 private:
  using Fold = void (Device::*)(std::span<const void* const>, void*, DType, int64_t);
  void fold_to_all(Fold fold, std::span<const void* const> terms, std::span<void* const> outs,
                   DType dtype, int64_t count);
};

// Of an array of one f64, once it is computed.
double number_on_host(Device& device, const Array& x);

// The CPU: Eigen, and the rank's own crew of threads.
std::unique_ptr<Device> make_cpu_device(Crew& crew);

}  // namespace tplab
