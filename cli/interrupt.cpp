#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstring>

namespace tplab::cli {
namespace {

// A signal handler can reach nothing but globals. These change only while an Interrupt exists.
std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free);
std::atomic<bool> installed{false};
std::atomic<const char*> told{""};
struct sigaction before_int, before_term, before_hup;

// Calls nothing but what is async-signal-safe (POSIX, signal-safety(7)).
extern "C" void on_signal(int signal) {
  const int saved_errno = errno;
  int none = 0;
  caught.compare_exchange_strong(none, signal);
  sigaction(SIGINT, &before_int, nullptr);
  const char* const advice = told;
  if (none == 0 && signal == SIGINT) (void)!write(STDERR_FILENO, advice, strlen(advice));
  errno = saved_errno;
}

void install(int signal, struct sigaction& before) {
  sigaction(signal, nullptr, &before);
  if (before.sa_handler == SIG_IGN) return;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // no read or write of the command fails because of it
  sigaddset(&action.sa_mask, SIGINT);
  sigaddset(&action.sa_mask, SIGTERM);
  sigaddset(&action.sa_mask, SIGHUP);
  sigaction(signal, &action, nullptr);
}

}  // namespace

Interrupt::Interrupt(const char* advice) {
  [[maybe_unused]] const bool another = installed.exchange(true);
  assert(!another);
  caught = 0;
  told = isatty(STDERR_FILENO) ? advice : "";
  sigaction(SIGINT, nullptr, &before_int);  // before any handler that would put it back
  install(SIGTERM, before_term);
  install(SIGHUP, before_hup);
  install(SIGINT, before_int);
}

Interrupt::~Interrupt() {
  sigaction(SIGTERM, &before_term, nullptr);
  sigaction(SIGHUP, &before_hup, nullptr);
  sigaction(SIGINT, &before_int, nullptr);
  installed = false;
}

int Interrupt::signal() const { return caught; }

}  // namespace tplab::cli
