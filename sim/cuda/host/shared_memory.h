// The shared memory of the block that runs: areas, one for each array of the kernel, laid out as
// they are asked for, with red zones around each.
//
// An area is NaN bytes until it is written. Red zones are such bytes too, and looked at after each
// block; with AddressSanitizer they are memory that may not be touched.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

namespace tplab::cuda_host {

constexpr size_t kSharedBytes = 227 << 10;  // that a block may have, by compute capability 9.0

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // A kernel's first block: no area is known but the dynamic one, whose key is null.
  void begin_kernel(size_t dynamic_bytes);
  void begin_block();
  // The area of this key, the same for all threads of a kernel; null where there is no more room.
  void* find(const void* key, size_t bytes);
  size_t used() const { return used_; }
  // Whether this block wrote into a red zone. Never with AddressSanitizer, which says it at once.
  bool touched_around() const;

 private:
  static constexpr size_t kAlignment = 1024, kMostAreas = 64, kRedZone = 64;
  static constexpr size_t kWhole =
      (kSharedBytes + kMostAreas * (kAlignment + 2 * kRedZone)) / kAlignment * kAlignment;
  struct Area {
    const void* key;
    size_t at, bytes;
    // From its end to that of its red zone.
    size_t behind() const { return kRedZone + (-bytes) % 16; }
  };
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  void* add(const void* key, size_t bytes);

  std::unique_ptr<unsigned char, Free> bytes_;
  std::vector<Area> areas_;
  size_t used_ = 0;  // by areas, without red zones
};

}  // namespace tplab::cuda_host
