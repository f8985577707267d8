// Ctrl-C asks first. Each case runs in a process of its own, which a signal may end.

#include "cli/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "run_tplab.h"

namespace tplab::cli {
namespace {

// What a shell would say of a process that runs body and exits with what it returns.
int outcome(const std::function<int()>& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGINT, SIG_DFL);  // whatever runs the tests may ignore them
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGHUP, SIG_DFL);
    alarm(20);  // a mutant that waits for ever
    _exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("interrupt: the first SIGINT, SIGTERM or SIGHUP is remembered and ends nothing") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    CHECK(outcome([signal] {
            const Interrupt interrupt;
            if (interrupt.requested() || interrupt.signal() != 0) return 1;
            raise(signal);
            return interrupt.requested() && interrupt.signal() == signal ? 0 : 2;
          }) == 0);
  }
}

TEST_CASE("interrupt: at a terminal the first Ctrl-C is answered at once, and no other signal") {
  if (!testing::has_terminals()) return;
  for (const int signal : {SIGINT, SIGTERM})
    CHECK(outcome([signal] {
            const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
            if (grantpt(master) != 0 || unlockpt(master) != 0) return 1;
            if (dup2(open(ptsname(master), O_RDWR | O_NOCTTY), STDERR_FILENO) < 0) return 1;
            const Interrupt interrupt("stopping\n");
            raise(signal);
            raise(SIGTERM);
            std::string said(100, ' ');
            said.resize(static_cast<size_t>(std::max<ssize_t>(0, read(master, &said[0], 100))));
            return said == (signal == SIGINT ? "stopping\r\n" : "") ? 0 : 2;
          }) == 0);
}

TEST_CASE("interrupt: a second SIGINT ends the process, whatever the first signal was") {
  for (const int first : {SIGINT, SIGTERM}) {
    CHECK(outcome([first] {
            const Interrupt interrupt;
            raise(first);
            raise(SIGINT);
            return 1;
          }) == 128 + SIGINT);
  }
}

TEST_CASE("interrupt: more SIGTERMs do not end what is finishing, and the first signal counts") {
  CHECK(outcome([] {
          const Interrupt interrupt;
          raise(SIGINT);
          raise(SIGTERM);
          raise(SIGTERM);
          return interrupt.signal() == SIGINT ? 0 : 1;
        }) == 0);
}

TEST_CASE("interrupt: afterwards signals do what they did before, and the next one starts anew") {
  CHECK(outcome([] {
          { const Interrupt interrupt; }
          raise(SIGTERM);
          return 1;
        }) == 128 + SIGTERM);
  CHECK(outcome([] {
          {
            const Interrupt interrupt;
            raise(SIGTERM);
          }
          raise(SIGINT);
          return 1;
        }) == 128 + SIGINT);
  CHECK(outcome([] {
          {
            const Interrupt interrupt;
            raise(SIGINT);
          }
          const Interrupt next;
          if (next.requested()) return 1;
          raise(SIGINT);
          return next.requested() ? 0 : 2;
        }) == 0);
}

TEST_CASE("interrupt: a handler that was there gets the second SIGINT, and is back at the end") {
  CHECK(outcome([] {
          static volatile sig_atomic_t calls = 0;
          ::signal(SIGINT, [](int) { calls = calls + 1; });
          {
            const Interrupt interrupt;
            raise(SIGINT);
            if (calls != 0) return 1;
            raise(SIGINT);
            if (calls != 1) return 2;
          }
          raise(SIGINT);
          return calls == 2 ? 0 : 3;
        }) == 0);
}

TEST_CASE("interrupt: what was ignored, as under nohup, stays ignored") {
  CHECK(outcome([] {
          ::signal(SIGINT, SIG_IGN);
          const Interrupt interrupt;
          raise(SIGINT);
          raise(SIGINT);
          if (interrupt.requested()) return 1;
          raise(SIGTERM);
          raise(SIGINT);  // still ignored
          return interrupt.signal() == SIGTERM ? 0 : 2;
        }) == 0);
}

TEST_CASE("interrupt: a signal from outside is seen by other threads, and breaks off no read") {
  CHECK(outcome([] {
          const Interrupt interrupt;
          int ends[2];
          if (pipe(ends) != 0) return 1;
          std::thread sender([&] {
            // Again and again, since ThreadSanitizer keeps back one that comes just before the
            // read.
            while (!interrupt.requested()) {
              kill(getpid(), SIGTERM);
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            static_cast<void>(!write(ends[1], "x", 1));
          });
          char byte = 0;
          const bool whole = read(ends[0], &byte, 1) == 1 && byte == 'x';
          sender.join();
          return whole ? 0 : 2;
        }) == 0);
}

}  // namespace tplab::cli
