// Blocks of memory: from their source, or from what was freed before.
#include "sim/memory_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/error.h"
#include "sim/text/bytes_text.h"

namespace tplab {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 47;  // the address space of a process
constexpr int64_t kSlackBytes = 16 << 20;

// The bytes of an array, or -1 where they would not fit an address space.
int64_t checked_bytes(DType dtype, const Shape& shape) {
  int64_t bytes = size_bytes(dtype);
  for (int i = 0; i < shape.dims(); ++i) {
    if (shape[i] < 0 || (shape[i] > 0 && bytes > kMaxBytes / shape[i])) return -1;
    bytes *= shape[i];
  }
  return bytes;
}

}  // namespace

MemoryPool::~MemoryPool() { release_kept(); }

void MemoryPool::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  release_kept();
}

std::shared_ptr<void> MemoryPool::allocate(DType dtype, const Shape& shape) {
  const int64_t bytes = checked_bytes(dtype, shape);
  const Blocks::iterator taken = bytes < 0 ? used_.end() : take(bytes);
  if (taken == used_.end()) {
    fail_unavailable(fmt::format("no memory for an array {} of {}{}", shape.text(), name(dtype),
                                 bytes < 0 ? "" : ", " + bytes_text(bytes) + source_->free_text()),
                     std::string(source_->way_out()));
  }
  return std::shared_ptr<void>(
      taken->second.data, [pool = shared_from_this(), taken](void*) { pool->give_back(taken); });
}

// used_.end() if the system has none.
MemoryPool::Blocks::iterator MemoryPool::take(int64_t bytes) {
  const int64_t size = source_->rounded(bytes);
  const std::lock_guard lock(mutex_);
  Blocks::iterator block;
  if (const auto found = kept_.find(size); found != kept_.end()) {
    block = used_.insert(kept_.extract(found));
    kept_bytes_ -= size;
  } else {
    const int64_t used = used_rounded_ + size;
    const int64_t peak = std::max(use_.peak_bytes, used);
    while (!kept_.empty() && used + kept_bytes_ > peak + peak / 16 + kSlackBytes) release_oldest();
    block = used_.emplace(size, Block());
    void*& data = block->second.data;
    data = source_->take(size);
    while (!data && !kept_.empty()) {
      release_oldest();
      data = source_->take(size);
    }
    if (!data) {
      used_.erase(block);
      return used_.end();
    }
  }
  block->second.bytes = bytes;
  source_->lend(block->second.data, bytes);
  used_rounded_ += size;
  use_.current_bytes += bytes;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.current_bytes);
  return block;
}

void MemoryPool::give_back(Blocks::iterator block) noexcept {
  const std::lock_guard lock(mutex_);
  used_rounded_ -= block->first;
  use_.current_bytes -= block->second.bytes;
  kept_bytes_ += block->first;
  block->second.freed_as = freed_++;
  kept_.insert(used_.extract(block));
  if (closed_) release_kept();
}

void MemoryPool::release_kept() {
  for (const auto& [size, block] : kept_) source_->give_back(block.data, size);
  kept_.clear();
  kept_bytes_ = 0;
}

void MemoryPool::release_oldest() {
  const auto oldest = std::min_element(
      kept_.begin(), kept_.end(),
      [](const auto& a, const auto& b) { return a.second.freed_as < b.second.freed_as; });
  source_->give_back(oldest->second.data, oldest->first);
  kept_bytes_ -= oldest->first;
  kept_.erase(oldest);
}

MemoryUse MemoryPool::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

int64_t MemoryPool::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace tplab
