// Another program, run with this one's stdin, stdout and stderr: what `tplab monitor --` watches.
#pragma once

#include <string>
#include <vector>

namespace tplab::cli {

// At most one at a time. While it runs, SIGTERM and SIGHUP that come to this process, and a SIGINT
// that no terminal sent, are passed on to it and end nothing here; the terminal's Ctrl-C reaches it
// anyway, once. So this process outlives the command, and can say what it saw.
class WatchedCommand {
 public:
  // Looked up in PATH. Throws Error(usage) if it cannot be run.   REQUIRES: words are not empty
  explicit WatchedCommand(const std::vector<std::string>& words);
  ~WatchedCommand();
  WatchedCommand(const WatchedCommand&) = delete;
  WatchedCommand& operator=(const WatchedCommand&) = delete;

  // Until it has ended. Its exit code; 128 and the signal that ended it, as a shell has it.
  int wait();
};

}  // namespace tplab::cli
