#include "sim/machine/processes.h"

namespace tplab {

namespace {

Processes*& all_processes() {
  static Processes* all = nullptr;
  return all;
}

}  // namespace

Processes* processes() { return all_processes(); }
void set_processes(Processes* all) { all_processes() = all; }

std::string once_told(const std::function<std::string()>& work) {
  Processes* const all = processes();
  return all ? all->once(work) : work();
}

void once(const std::function<void()>& work) {
  once_told([&] {
    work();
    return std::string();
  });
}

}  // namespace tplab
