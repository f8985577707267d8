// Threads that are all there or not at all.
#pragma once

#include <functional>

namespace tplab {

// Calls body(0) .. body(threads - 1), each on a thread of its own, and returns when all are done.
// body must not throw.
// Throws Error(unavailable) where the system gives fewer threads; body is then not called at all,
// so nobody waits for a peer that never comes.
void run_on_threads(int threads, const std::function<void(int)>& body);

}  // namespace tplab
