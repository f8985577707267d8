// Host memory from the system, with huge pages.
#include "sim/cpu/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

namespace tplab {
namespace {

constexpr int64_t kAlignment = 64;      // a cache line, and the widest SIMD register
constexpr int64_t kHugePage = 2 << 20;  // bytes

int64_t round_up(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

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

class CpuMemory final : public MemorySource {
 public:
  int64_t rounded(int64_t bytes) const override {
    return round_up(std::max<int64_t>(bytes, 1), bytes >= kHugePage ? kHugePage : kAlignment);
  }
  void* take(int64_t size) override {
    if (size >= kHugePage) return map_aligned(size);
    return std::aligned_alloc(kAlignment, static_cast<size_t>(size));
  }
  void give_back(void* data, int64_t size) noexcept override {
    if (size >= kHugePage) {
      munmap(data, static_cast<size_t>(size));
    } else {
      std::free(data);
    }
  }
  std::string_view way_out() const override {
    return "use a smaller model, batch or sequence, --dtype f32, or a machine with more memory";
  }
};

}  // namespace

std::shared_ptr<MemoryPool> make_cpu_memory() {
  return MemoryPool::make(std::make_shared<CpuMemory>());
}

}  // namespace tplab
