// OpenMP's threads, once the system has been seen to have as many: libgomp ends the process where
// it gets too few.
#include "sim/threads/run_on_threads.h"

#include <fmt/format.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "sim/error.h"

#if defined(__SANITIZE_THREAD__)
#define TPLAB_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TPLAB_THREAD_SANITIZER 1
#endif
#endif

namespace tplab {
namespace {

enum Word { wait, go, leave };  // what threads that have come are told

void fail_threads(size_t got, int wanted) {
  fail_unavailable(fmt::format("the system gave {} threads of the {} asked for", got, wanted),
                   "use fewer ranks, or raise the limit on processes (ulimit -u), on memory "
                   "(ulimit -v), or that of the container");
}

// body(0) .. body(threads - 1) on plain threads of C++, which fail by an exception; on none of them
// before all are there.
void run_on_plain_threads(int threads, const std::function<void(int)>& body) {
  std::atomic<Word> word = wait;
  std::vector<std::jthread> team;
  const auto tell = [&word](Word last) {
    word = last;
    word.notify_all();
  };
  const auto give_up = [&] {
    const size_t got = team.size();
    tell(leave);
    team.clear();
    fail_threads(got, threads);
  };
  try {
    for (int i = 0; i < threads; ++i) {
      team.emplace_back([&body, &word, i] {
        word.wait(wait);
        if (word == go) body(i);
      });
    }
  } catch (const std::system_error&) {
    give_up();
  } catch (const std::bad_alloc&) {
    give_up();
  }
  tell(go);
}

#ifndef TPLAB_THREAD_SANITIZER

// Under OMP_PROC_BIND the runtime holds each of its threads to one place, a core; a rank and its
// crew share all of them.
void leave_place() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> cores(static_cast<size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, cores.data());
    for (const int core : cores) CPU_SET(core, &set);
  }
  if (CPU_COUNT(&set) > 0) sched_setaffinity(0, sizeof set, &set);
}

size_t own_stack_bytes() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bytes;
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return bytes;
}

// Whether OpenMP has so many threads, and such as a rank can use: OMP_THREAD_LIMIT may forbid it, a
// parallel region around this one, or OMP_STACKSIZE.
bool openmp_gives(int threads) {
  constexpr size_t kLeastStackBytes = 1 << 20;  // products work on the stack
  // A stack of theirs that the system does not give ends the process; main's do well.
  if (std::getenv("OMP_STACKSIZE") || std::getenv("GOMP_STACKSIZE")) return false;
  std::atomic<int> fit = 0;
#pragma omp parallel num_threads(threads)
  if (omp_get_num_threads() == threads && own_stack_bytes() >= kLeastStackBytes) ++fit;
  return fit == threads;
}

void run_on_openmp_threads(int threads, const std::function<void(int)>& body) {
#pragma omp parallel num_threads(threads)
  {
    if (omp_get_proc_bind() != omp_proc_bind_false) leave_place();
    body(omp_get_thread_num());
  }
}

#endif

}  // namespace

void run_on_threads(int threads, const std::function<void(int)>& body) {
#ifdef TPLAB_THREAD_SANITIZER  // which does not see how libgomp synchronises its own
  run_on_plain_threads(threads, body);
#else
  run_on_plain_threads(threads - 1, [](int) {});
  const int dynamic_before = omp_get_dynamic();
  omp_set_dynamic(0);
  openmp_gives(threads) ? run_on_openmp_threads(threads, body)
                        : run_on_plain_threads(threads, body);
  omp_set_dynamic(dynamic_before);
#endif
}

}  // namespace tplab
