// Blocks of host memory: from the system with huge pages, or from what was freed before.
#include "sim/cpu/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "sim/error.h"

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

CpuMemory::~CpuMemory() {
  for (const Block& block : kept_) to_system(block.data, block.size);
}

std::shared_ptr<void> CpuMemory::allocate(DType dtype, const Shape& shape) {
  const int64_t bytes = checked_bytes(dtype, shape);
  void* const data = bytes < 0 ? nullptr : take(bytes);
  if (!data) {
    fail_unavailable(
        fmt::format(
            "no memory for an array {} of {}{}", shape.text(), name(dtype),
            bytes < 0 ? "" : fmt::format(", {:.1f} MiB", static_cast<double>(bytes) / 0x1p20)),
        "use a smaller model, batch or sequence, --dtype f32, or a machine with more memory");
  }
  const Block block{data, rounded(bytes)};
  return std::shared_ptr<void>(
      data, [pool = shared_from_this(), block, bytes](void*) { pool->give_back(block, bytes); });
}

// Null if the system has none.
void* CpuMemory::take(int64_t bytes) {
  const int64_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  void* data = nullptr;
  if (const auto found = kept_by_size_.find(size); found != kept_by_size_.end()) {
    data = found->second->data;
    kept_.erase(found->second);
    kept_by_size_.erase(found);
    kept_bytes_ -= size;
  } else {
    const int64_t used = used_rounded_ + size;
    const int64_t peak = std::max(use_.peak_bytes, used);
    while (!kept_.empty() && used + kept_bytes_ > peak + peak / 16 + kSlackBytes) release_oldest();
    data = from_system(size);
    while (!data && !kept_.empty()) {
      release_oldest();
      data = from_system(size);
    }
    if (!data) return nullptr;
  }
  used_rounded_ += size;
  use_.current_bytes += bytes;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.current_bytes);
  return data;
}

void CpuMemory::give_back(Block block, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  used_rounded_ -= block.size;
  use_.current_bytes -= bytes;
  kept_by_size_.emplace(block.size, kept_.insert(kept_.end(), block));
  kept_bytes_ += block.size;
}

void CpuMemory::release_oldest() {
  const Kept::iterator oldest = kept_.begin();
  const auto [first, last] = kept_by_size_.equal_range(oldest->size);
  kept_by_size_.erase(std::find_if(first, last, [&](auto& row) { return row.second == oldest; }));
  to_system(oldest->data, oldest->size);
  kept_bytes_ -= oldest->size;
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
