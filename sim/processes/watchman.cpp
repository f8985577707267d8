#include "sim/processes/watchman.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>

namespace tplab {

namespace {

// A signal handler can reach nothing but globals. These change only with a Watchman.
std::atomic<bool> sigterm_came{false};
int watch_pipe[2] = {-1, -1};
struct sigaction before_watch;

extern "C" void on_sigterm(int) {
  const int saved_errno = errno;
  sigterm_came = true;
  const char word = 't';
  (void)!write(watch_pipe[1], &word, 1);
  errno = saved_errno;
}

}  // namespace

bool Watchman::called() { return sigterm_came; }

Watchman::Watchman(Watched& watched)
    : watched_(watched), stderr_(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
  sigaction(SIGTERM, nullptr, &before_watch);
  if (before_watch.sa_handler == SIG_IGN || pipe(watch_pipe) != 0) return;
  thread_ = std::thread([this] { keep_watch(); });
  struct sigaction action = {};
  action.sa_handler = on_sigterm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
}

Watchman::~Watchman() {
  close(stderr_);
  if (!thread_.joinable()) return;
  sigaction(SIGTERM, &before_watch, nullptr);
  const char word = 'e';
  (void)!write(watch_pipe[1], &word, 1);
  thread_.join();
  close(watch_pipe[0]);
  close(watch_pipe[1]);
}

void Watchman::keep_watch() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are for the others
  char word = 0;
  while (read(watch_pipe[0], &word, 1) < 0 && errno == EINTR) {
  }
  if (word != 't') return;
  // Whoever waits finds out by itself, and can say more.
  for (int i = 0; i < 40 && !watched_.is_telling(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  if (watched_.is_telling()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
  } else {
    const std::string words = watched_.last_words();
    (void)!write(stderr_, words.data(), words.size());
  }
  _exit(128 + SIGTERM);
}

}  // namespace tplab
