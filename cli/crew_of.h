// A crew of threads outside of any World, for measuring what the machine can do.
#pragma once

#include <exception>
#include <optional>

#include "sim/machine/world.h"
#include "sim/threads/crew.h"
#include "sim/threads/run_on_threads.h"

namespace tplab::cli {

// f(crew), the crew having as many lanes as `threads`; f runs on one of them.
template <class F>
auto with_crew(int threads, F&& f) {
  Crew crew(threads, threads > available_cores());
  std::optional<decltype(f(crew))> result;
  std::exception_ptr thrown;
  run_on_threads(threads, [&](int lane) {
    if (lane > 0) return crew.serve(lane);
    try {
      result = f(crew);
    } catch (...) {
      thrown = std::current_exception();
    }
    crew.close();
  });
  if (thrown) std::rethrow_exception(thrown);
  return *result;
}

}  // namespace tplab::cli
