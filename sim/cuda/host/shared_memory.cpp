#include "sim/cuda/host/shared_memory.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "sim/cuda/host/sanitizers.h"

namespace tplab::cuda_host {

namespace {
constexpr int kPoison = 0xff;  // NaN as a float, a double, a bf16
}  // namespace

SharedMemory::SharedMemory()
    : bytes_(static_cast<unsigned char*>(std::aligned_alloc(kAlignment, kWhole))) {
  if (!bytes_) throw std::bad_alloc();
}

SharedMemory::~SharedMemory() { permit(bytes_.get(), kWhole); }

void SharedMemory::begin_kernel(size_t dynamic_bytes) {
  permit(bytes_.get(), kWhole);
  areas_.clear();
  used_ = 0;
  add(nullptr, dynamic_bytes);
}

void SharedMemory::begin_block() {
  for (const Area& area : areas_) {
    unsigned char* const from = bytes_.get() + area.at;
    if (!TPLAB_ASAN) std::memset(from - kRedZone, kPoison, kRedZone);
    std::memset(from, kPoison, area.bytes);
    if (!TPLAB_ASAN) std::memset(from + area.bytes, kPoison, area.behind());
  }
}

void* SharedMemory::find(const void* key, size_t bytes) {
  for (const Area& area : areas_)
    if (area.key == key) return bytes_.get() + area.at;
  return add(key, bytes);
}

bool SharedMemory::touched_around() const {
  if (TPLAB_ASAN) return false;
  const auto touched = [](const unsigned char* from, size_t bytes) {
    return std::any_of(from, from + bytes, [](unsigned char c) { return c != kPoison; });
  };
  return std::any_of(areas_.begin(), areas_.end(), [&](const Area& area) {
    const unsigned char* const from = bytes_.get() + area.at;
    return touched(from - kRedZone, kRedZone) || touched(from + area.bytes, area.behind());
  });
}

void* SharedMemory::add(const void* key, size_t bytes) {
  size_t at = kRedZone;
  if (!areas_.empty()) at = areas_.back().at + areas_.back().bytes + 2 * kRedZone + 16;
  at = (at + 127) / 128 * 128;
  used_ += bytes;
  if (used_ > kSharedBytes || areas_.size() == kMostAreas) return nullptr;
  areas_.push_back({key, at, bytes});
  unsigned char* const from = bytes_.get() + at;
  const size_t behind = areas_.back().behind();
  std::memset(from - kRedZone, kPoison, kRedZone);
  std::memset(from, kPoison, bytes + behind);
  forbid(from - kRedZone, kRedZone);
  forbid(from + bytes, behind);
  return from;
}

}  // namespace tplab::cuda_host
