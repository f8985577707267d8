// The pool a device allocates from: blocks come back to it and are handed out again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sim/device.h"

namespace tplab {

// Where a pool's blocks come from. Called by one thread at a time, from any thread.
class MemorySource {
 public:
  virtual ~MemorySource() = default;

  // The size of the block that serves a request: a few sizes, so that blocks serve one another.
  virtual int64_t rounded(int64_t bytes) const = 0;
  virtual void* take(int64_t size) = 0;  // null when there is none
  virtual void give_back(void* data, int64_t size) noexcept = 0;
  // A block will serve an array of `bytes`, whose contents are undefined.
  virtual void lend(void* /*data*/, int64_t /*bytes*/) {}
  // For errors: how much is free, as words after the size that was wanted, or none; and a way out.
  virtual std::string free_text() const { return {}; }
  virtual std::string_view way_out() const = 0;
};

// Threads: every function may be called from any thread, and a block may be freed by any thread,
// also after the device is gone: each block keeps the pool alive.
//
// A freed block is kept for the next request of its size. What is kept never makes the process much
// larger than its busiest moment: before memory is asked of the source, the blocks kept longest are
// given back until used + kept is at most the peak of what was used, plus a sixteenth of it, plus a
// few MiB.
class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  static std::shared_ptr<MemoryPool> make(std::shared_ptr<MemorySource> source) {
    return std::shared_ptr<MemoryPool>(new MemoryPool(std::move(source)));
  }
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // Undefined contents, aligned as the source's blocks; null never. Zero bytes are a valid request.
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

  explicit MemoryPool(std::shared_ptr<MemorySource> source) : source_(std::move(source)) {}
  Blocks::iterator take(int64_t bytes);
  void give_back(Blocks::iterator block) noexcept;
  void release_oldest();
  void release_kept();

  const std::shared_ptr<MemorySource> source_;
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
