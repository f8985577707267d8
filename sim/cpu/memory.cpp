// Blocks of host memory: from the system with huge pages, or from what was freed before.
#include "sim/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "sim/error.h"
#include "sim/text/bytes_text.h"

namespace tplab {
namespace {

constexpr int64_t kAlignment = 64;               // a cache line, and the widest SIMD register
constexpr int64_t kHugePage = 2 << 20;           // bytes
constexpr int64_t kMaxBytes = int64_t{1} << 47;  // the address space of a process
constexpr int64_t kSlackBytes = 16 << 20;

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

int64_t rounded(int64_t bytes) {
  return round_up(std::max<int64_t>(bytes, 1), bytes >= kHugePage ? kHugePage : kAlignment);
}

// The bytes of an array, or -1 where they would not fit an address space.
int64_t checked_bytes(DType dtype, const Shape& shape) {
  int64_t bytes = size_bytes(dtype);
  for (int i = 0; i < shape.dims(); ++i) {
    if (shape[i] < 0 || (shape[i] > 0 && bytes > kMaxBytes / shape[i])) return -1;
    bytes *= shape[i];
  }
  return bytes;
}

// Maps one huge page too many, and unmaps what sticks out on either side of the aligned part.
void* map_aligned(int64_t size) {
  const auto whole = static_cast<size_t>(size + kHugePage);
  void* mapped = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(mapped);
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  const auto before = static_cast<size_t>(-address % static_cast<uintptr_t>(kHugePage));
  if (before > 0) munmap(begin, before);
  char* const data = begin + before;
  munmap(data + size, whole - before - static_cast<size_t>(size));
#ifdef MADV_HUGEPAGE
  madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);  // a wish: refused is fine
#endif
  return data;
}

void* from_system(int64_t size) {
  if (size >= kHugePage) return map_aligned(size);
  return std::aligned_alloc(kAlignment, static_cast<size_t>(size));
}

void to_system(void* data, int64_t size) {
  if (size >= kHugePage) {
    munmap(data, static_cast<size_t>(size));
  } else {
    std::free(data);
  }
}

}  // namespace

CpuMemory::~CpuMemory() { release_kept(); }

void CpuMemory::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  release_kept();
}

std::shared_ptr<void> CpuMemory::allocate(DType dtype, const Shape& shape) {
  const int64_t bytes = checked_bytes(dtype, shape);
  const Blocks::iterator taken = bytes < 0 ? used_.end() : take(bytes);
  if (taken == used_.end()) {
    fail_unavailable(
        fmt::format("no memory for an array {} of {}{}", shape.text(), name(dtype),
                    bytes < 0 ? "" : ", " + bytes_text(bytes)),
        "use a smaller model, batch or sequence, --dtype f32, or a machine with more memory");
  }
  return std::shared_ptr<void>(
      taken->second.data, [pool = shared_from_this(), taken](void*) { pool->give_back(taken); });
}

// used_.end() if the system has none.
CpuMemory::Blocks::iterator CpuMemory::take(int64_t bytes) {
  const int64_t size = rounded(bytes);
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
    data = from_system(size);
    while (!data && !kept_.empty()) {
      release_oldest();
      data = from_system(size);
    }
    if (!data) {
      used_.erase(block);
      return used_.end();
    }
  }
  block->second.bytes = bytes;
  used_rounded_ += size;
  use_.current_bytes += bytes;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.current_bytes);
  return block;
}

void CpuMemory::give_back(Blocks::iterator block) noexcept {
  const std::lock_guard lock(mutex_);
  used_rounded_ -= block->first;
  use_.current_bytes -= block->second.bytes;
  kept_bytes_ += block->first;
  block->second.freed_as = freed_++;
  kept_.insert(used_.extract(block));
  if (closed_) release_kept();
}

void CpuMemory::release_kept() {
  for (const auto& [size, block] : kept_) to_system(block.data, size);
  kept_.clear();
  kept_bytes_ = 0;
}

void CpuMemory::release_oldest() {
  const auto oldest = std::min_element(
      kept_.begin(), kept_.end(),
      [](const auto& a, const auto& b) { return a.second.freed_as < b.second.freed_as; });
  to_system(oldest->second.data, oldest->first);
  kept_bytes_ -= oldest->first;
  kept_.erase(oldest);
}

MemoryUse CpuMemory::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

int64_t CpuMemory::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  return kept_bytes_;
}

}  // namespace tplab
