#include "cli/watched_command.h"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "model/files/bytes.h"
#include "sim/error.h"

extern char** environ;

namespace tplab::cli {

namespace {

// A signal handler can reach nothing but globals. These change only while a WatchedCommand exists.
std::atomic<pid_t> running{0};
std::atomic<int> came_early{0};  // before there was whom to pass it on to
static_assert(std::atomic<pid_t>::is_always_lock_free);
constexpr std::array kPassedOn = {SIGINT, SIGTERM, SIGHUP};
std::array<struct sigaction, kPassedOn.size()> actions_before;

// Calls nothing but what is async-signal-safe (POSIX, signal-safety(7)).
extern "C" void pass_on(int signal, siginfo_t* info, void*) {
  const int saved_errno = errno;
  const pid_t command = running;
  // The terminal's Ctrl-C goes to all of its foreground programs, so to the command too: a second
  // one would ask more of it than the user did.
  const bool has_it = signal == SIGINT && info->si_code == SI_KERNEL;
  if (!has_it && command > 0) kill(command, signal);
  if (!has_it && command == 0) {
    came_early = signal;
    const pid_t now = running;  // another thread may run this while the command starts
    if (now > 0 && came_early.exchange(0) != 0) kill(now, signal);
  }
  errno = saved_errno;
}

// What was ignored before (as under nohup) stays ignored, here and in the command.
void pass_signals_on() {
  for (size_t i = 0; i < kPassedOn.size(); ++i) {
    sigaction(kPassedOn[i], nullptr, &actions_before[i]);
    if (actions_before[i].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigaction(kPassedOn[i], &action, nullptr);
  }
}

void put_signals_back() {
  for (size_t i = 0; i < kPassedOn.size(); ++i)
    sigaction(kPassedOn[i], &actions_before[i], nullptr);
}

// 0, and sets `command`; or what errno would be.
int spawn(std::vector<std::string> words, pid_t& command) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t as_usual;  // which this program set for itself (main.cpp)
  sigemptyset(&as_usual);
  sigaddset(&as_usual, SIGXFSZ);
  sigaddset(&as_usual, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &as_usual);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const int error =
      posix_spawnp(&command, pointers[0], nullptr, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  return error;
}

}  // namespace

WatchedCommand::WatchedCommand(const std::vector<std::string>& words) {
  assert(running == 0);
  came_early = 0;
  signal(SIGCHLD, SIG_DFL);  // else a parent that ignores it would have the system forget the code
  pass_signals_on();
  pid_t command = 0;
  if (const int error = spawn(words, command); error != 0) {
    put_signals_back();
    const std::string what =
        fmt::format("{} cannot be run: {}", in_quotes(words[0]), std::strerror(error));
    const std::string fix =
        "put a program and its arguments behind --, as in tplab monitor -- sleep 5";
    if (error == EAGAIN || error == ENOMEM)
      fail_unavailable(what, "free memory or processes (ulimit -u)");
    fail(what, fix);
  }
  running = command;
  if (const int early = came_early.exchange(0); early != 0) kill(command, early);
}

WatchedCommand::~WatchedCommand() {
  if (running != 0) wait();
}

int WatchedCommand::wait() {
  const pid_t command = running;
  siginfo_t ended = {};
  // Its number is not free for another process until waitpid, so that no signal goes astray.
  while (waitid(P_PID, static_cast<id_t>(command), &ended, WEXITED | WNOWAIT) != 0 &&
         errno == EINTR) {
  }
  running = -1;
  int status = 0;
  waitpid(command, &status, 0);
  put_signals_back();
  running = 0;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace tplab::cli
