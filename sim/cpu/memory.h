// The pool a CPU device allocates from: blocks come back to it and are handed out again.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "sim/device.h"

namespace tplab {

// Threads: every function may be called from any thread, and a block may be freed by any thread,
// also after the device is gone: each block keeps the pool alive.
//
// Blocks of 2 MiB or more start at a multiple of 2 MiB and ask for huge pages: reading weights
// through 4 KiB pages costs decoding a good part of the memory's bandwidth.
//
// A freed block is kept for the next request of its size (rounded up to 64 bytes, big ones to
// 2 MiB). What is kept never makes the process much larger than its busiest moment: before memory
// is asked of the system, the blocks kept longest are given back until used + kept is at most the
// peak of what was used, plus a sixteenth of it, plus a few MiB.
class CpuMemory : public std::enable_shared_from_this<CpuMemory> {
 public:
  static std::shared_ptr<CpuMemory> make() { return std::shared_ptr<CpuMemory>(new CpuMemory); }
  ~CpuMemory();
  CpuMemory(const CpuMemory&) = delete;
  CpuMemory& operator=(const CpuMemory&) = delete;

  // Undefined contents, at least 64-byte aligned; null never. Zero bytes are a valid request.
  // Throws Error(unavailable), naming the size, for sizes that overflow or that no memory is left
  // for.
  std::shared_ptr<void> allocate(DType dtype, const Shape& shape);

  MemoryUse use() const;       // what arrays hold, in the bytes they asked for
  int64_t kept_bytes() const;  // freed blocks that wait for reuse

 private:
  struct Block {
    void* data;
    int64_t size;  // rounded up
  };
  using Kept = std::list<Block>;  // oldest first

  CpuMemory() = default;
  void* take(int64_t bytes);
  void give_back(Block block, int64_t bytes);
  void release_oldest();

  mutable std::mutex mutex_;
  MemoryUse use_;
  int64_t used_rounded_ = 0, kept_bytes_ = 0;
  Kept kept_;
  std::unordered_multimap<int64_t, Kept::iterator> kept_by_size_;
};

}  // namespace tplab
