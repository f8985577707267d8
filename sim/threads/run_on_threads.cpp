// Plain threads of C++, which fail by an exception: OpenMP's end the process.
#include "sim/threads/run_on_threads.h"

#include <fmt/format.h>

#include <atomic>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "sim/error.h"

namespace tplab {
namespace {

enum Word { wait, go, leave };  // what threads that have come are told

void fail_threads(size_t got, int wanted) {
  fail_unavailable(fmt::format("the system gave {} threads of the {} asked for", got, wanted),
                   "use fewer ranks, or raise the limit on processes (ulimit -u), on memory "
                   "(ulimit -v), or that of the container");
}

}  // namespace

void run_on_threads(int threads, const std::function<void(int)>& body) {
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

}  // namespace tplab
