// Where in the source a call stands: what a function can say of who called it.
#pragma once

namespace tplab {

struct CallSite {
  const char* file = "";  // relative to the project (cmake/TplabTargets.cmake sees to that)
  int line = 0;
  const CallSite* caller = nullptr;  // of the function it stands in; while the call lasts
};

// As a default argument, the place of the call:   Tensor<..> leave(.., CallSite where = here());
constexpr CallSite here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return {file, line};
}
// As an argument, this place, in a function that was itself called at `caller`:
//   write(.., CallSite where = here()) { return leave(.., here(where)); }
constexpr CallSite here(const CallSite& caller, const char* file = __builtin_FILE(),
                        int line = __builtin_LINE()) {
  return {file, line, &caller};
}

}  // namespace tplab
