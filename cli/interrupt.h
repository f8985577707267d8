// Ctrl-C as a question: the first asks a long command to finish, the second ends it.
#pragma once

namespace tplab::cli {

// While one exists, the first SIGINT, SIGTERM or SIGHUP (a closed terminal) only sets a flag, which
// the command looks at where it can stop cleanly. From then on SIGINT does what it did before, so
// that a second Ctrl-C ends a command that does not get there. What was ignored before (as under
// nohup, or behind a shell script's &) stays ignored. The destructor puts all back.
//
// At a terminal `advice` is written to stderr at the first Ctrl-C, at once: a step may take long.
//
// At most one at a time. Threads: the flag may be read by any. Ranks that look at different moments
// see different things, so let them tell one another.
class Interrupt {
 public:
  explicit Interrupt(const char* advice = "");  // REQUIRES: it outlives this
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const { return signal() != 0; }
  int signal() const;  // the first that came, or 0. A shell expects the exit code 128 + this.
};

}  // namespace tplab::cli
