// Which sanitizer this is built with: TPLAB_ASAN and TPLAB_TSAN are 1 or 0.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define TPLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TPLAB_ASAN 1
#endif
#endif
#ifndef TPLAB_ASAN
#define TPLAB_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define TPLAB_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TPLAB_TSAN 1
#endif
#endif
#ifndef TPLAB_TSAN
#define TPLAB_TSAN 0
#endif

#if TPLAB_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if TPLAB_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#include <cstddef>

namespace tplab::cuda_host {

// Memory that nobody may touch, and that may be touched again: told to AddressSanitizer.
inline void forbid([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if TPLAB_ASAN
  __asan_poison_memory_region(from, bytes);
#endif
}
inline void permit([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if TPLAB_ASAN
  __asan_unpoison_memory_region(from, bytes);
#endif
}

}  // namespace tplab::cuda_host
