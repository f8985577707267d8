// Boost.Context's own switch, for its fiber class enters a fiber once when it is made, which the
// sanitizers' annotations could not say.
#include "sim/cuda/host/fibers.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <new>

#include "sim/cuda/host/sanitizers.h"

namespace tplab::cuda_host {

namespace {

namespace context = boost::context::detail;

// A kernel's local arrays lie here; AddressSanitizer puts room around each.
constexpr size_t kStackBytes = TPLAB_ASAN ? 512 << 10 : 128 << 10;
constexpr size_t kGuardBytes = 4 << 10;

char* top_of(void* stack) { return static_cast<char*>(stack) + kGuardBytes + kStackBytes; }
const char* bottom_of(const void* stack) { return static_cast<const char*>(stack) + kGuardBytes; }

}  // namespace

// The fiber's side of a switch.
struct Fiber::Entry {
  static void run(context::transfer_t from) {
    Fiber& fiber = *static_cast<Fiber*>(from.data);
    entered(fiber, from);
    for (;;) {
      fiber.function_(fiber.argument_);
      fiber.ended_ = true;
      fiber.leave();
    }
  }
  static void entered(Fiber& fiber, context::transfer_t from) {
    fiber.resumer_context_ = from.fctx;
#if TPLAB_ASAN
    __sanitizer_finish_switch_fiber(fiber.fiber_fake_stack_, &fiber.resumer_stack_,
                                    &fiber.resumer_stack_bytes_);
#endif
  }
};

Fiber::Fiber()
    : stack_(mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (stack_ == MAP_FAILED) throw std::bad_alloc();
  mprotect(stack_, kGuardBytes, PROT_NONE);
#if TPLAB_TSAN
  fiber_id_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if TPLAB_TSAN
  __tsan_destroy_fiber(fiber_id_);
#endif
  permit(bottom_of(stack_), kStackBytes);
  munmap(stack_, kGuardBytes + kStackBytes);
}

void Fiber::start(void (*function)(void*), void* argument) {
  if (!fiber_context_ || !ended_) {
    permit(bottom_of(stack_), kStackBytes);  // what was given up
    fiber_fake_stack_ = nullptr;
    fiber_context_ = context::make_fcontext(top_of(stack_), kStackBytes, Entry::run);
  }
  function_ = function;
  argument_ = argument;
  ended_ = false;
}

bool Fiber::resume() {
#if TPLAB_ASAN
  __sanitizer_start_switch_fiber(&resumer_fake_stack_, bottom_of(stack_), kStackBytes);
#endif
#if TPLAB_TSAN
  resumer_id_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber_id_, 0);
#endif
  const context::transfer_t back = context::jump_fcontext(fiber_context_, this);
  fiber_context_ = back.fctx;
#if TPLAB_ASAN
  __sanitizer_finish_switch_fiber(resumer_fake_stack_, nullptr, nullptr);
#endif
  return ended_;
}

void Fiber::leave() {
#if TPLAB_ASAN
  __sanitizer_start_switch_fiber(&fiber_fake_stack_, resumer_stack_, resumer_stack_bytes_);
#endif
#if TPLAB_TSAN
  __tsan_switch_to_fiber(resumer_id_, 0);
#endif
  Entry::entered(*this, context::jump_fcontext(resumer_context_, nullptr));
}

}  // namespace tplab::cuda_host
