// MPI's beginning waits until all processes have come, for ever and without a word: a deadline.
#pragma once

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace tplab {

// Ends the process with these words on stderr, unless it is destroyed before the time is over.
class Arrival {
 public:
  Arrival(double patience_s, std::string said)
      : said_(std::move(said)), thread_([this, patience_s] { wait(patience_s); }) {}
  ~Arrival() {
    {
      const std::lock_guard lock(mutex_);
      all_are_here_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

 private:
  void wait(double patience_s) {
    std::unique_lock lock(mutex_);
    const auto here = [this] { return all_are_here_; };
    if (changed_.wait_for(lock, std::chrono::duration<double>(patience_s), here)) return;
    (void)!write(STDERR_FILENO, said_.data(), said_.size());
    _exit(1);
  }

  const std::string said_;
  std::mutex mutex_;  // guards:
  bool all_are_here_ = false;
  std::condition_variable changed_;
  std::thread thread_;  // the last: it begins when the others are there
};

}  // namespace tplab
