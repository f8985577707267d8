// The pool a CPU device allocates from: blocks come back to it and are handed out again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

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

  // The device is gone, and nobody will ask for memory: gives back what is kept, and from now on
  // every block as soon as its array, which may be a rank's result, is gone too.
  void close();

  MemoryUse use() const;       // what arrays hold, in the bytes they asked for
  int64_t kept_bytes() const;  // freed blocks that wait for reuse

 private:
  struct Block {
    void* data = nullptr;
    int64_t bytes = 0;      // as asked for
    uint64_t freed_as = 0;  // the how manyth that was freed
  };
  using Blocks = std::multimap<int64_t, Block>;  // by their size, rounded up

  CpuMemory() = default;
  Blocks::iterator take(int64_t bytes);
  void give_back(Blocks::iterator block) noexcept;
  void release_oldest();
  void release_kept();

  mutable std::mutex mutex_;
  MemoryUse use_;
  int64_t used_rounded_ = 0, kept_bytes_ = 0;
  uint64_t freed_ = 0;
  bool closed_ = false;
  // A block's node moves between these: giving back needs no memory, for it may be because there is
  // none.
  Blocks used_, kept_;
};

}  // namespace tplab
