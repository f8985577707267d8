// A crew of threads outside of any World, for measuring what the machine can do.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "sim/threads/crew.h"
#include "sim/world.h"

namespace tplab::cli {

// f(crew), the crew having as many lanes as `threads`.
template <class F>
auto with_crew(int threads, F&& f) {
  Crew crew(threads, threads > available_cores());
  std::vector<std::jthread> helpers;
  for (int lane = 1; lane < threads; ++lane)
    helpers.emplace_back([&crew, lane] { crew.serve(lane); });
  struct Closer {  // before the helpers are waited for, whether f returns or throws
    Crew& crew;
    ~Closer() { crew.close(); }
  } closer{crew};
  return f(crew);
}

}  // namespace tplab::cli
