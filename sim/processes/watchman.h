// What is said when the launcher ends a process: Open MPI's and others end all of them by SIGTERM
// when one is gone, and say nothing of where the others miss it.
#pragma once

#include <string>
#include <thread>

namespace tplab {

class Watched {
 public:
  virtual ~Watched() = default;
  virtual std::string last_words() = 0;  // empty where another process says them
  virtual bool is_telling() const = 0;   // the process itself has found out, and ends soon
};

// One in a process: catches SIGTERM for as long as it exists, unless that was ignored. A second
// later at most the process has ended, by that signal's exit code.
class Watchman {
 public:
  explicit Watchman(Watched& watched);
  ~Watchman();
  Watchman(const Watchman&) = delete;
  Watchman& operator=(const Watchman&) = delete;

  static bool called();  // SIGTERM has come

 private:
  void keep_watch();

  Watched& watched_;
  int stderr_;  // as it was when this was made
  std::thread thread_;
};

}  // namespace tplab
