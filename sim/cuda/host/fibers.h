// Functions that can be left in the middle and entered again: what a kernel's threads are on the
// CPU. By Boost.Context, on stacks of their own.
#pragma once

#include <cstddef>

namespace tplab::cuda_host {

// Used by the thread that made it. When a function has ended the fiber takes the next one.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // What resume() shall run. It throws nothing. A function that was left and has not ended is
  // given up: what it holds is not destroyed.
  void start(void (*function)(void*), void* argument);
  // Runs it to its next leave(), or to its end; then returns true.
  bool resume();
  // Called by the function: back to whoever resumed the fiber, until it is resumed again.
  void leave();

 private:
  struct Entry;
  // Boost's context of whichever of the two does not run: the fiber's, or its resumer's.
  void* fiber_context_ = nullptr;
  void* resumer_context_ = nullptr;
  void* stack_;  // with a page below it that may not be touched
  void (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool ended_ = true;
  // What AddressSanitizer and ThreadSanitizer want to know of a switch; unused without them.
  void *fiber_fake_stack_ = nullptr, *resumer_fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
  void *fiber_id_ = nullptr, *resumer_id_ = nullptr;
};

}  // namespace tplab::cuda_host
