// A line between the processes of a job beside the GPUs' own: how they find one another before NCCL
// can, and agree while it runs. A star over TCP: rank 0 hears all and tells all.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/nccl/launch.h"

namespace tplab {

// A socket that is closed with its owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();
  int descriptor() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

// Used by one thread of each process. Every wait has a deadline; whatever ends a wait too early (a
// process that is gone, or never comes) is an Error(run) on every process that is still there, with
// the rank's name.
class TcpChannel {
 public:
  // Returns when all of `place.size` processes have come. Rank 0 listens; who calls there and is
  // no process of this job is turned away and does no harm.
  // Throws Error(usage) where place says neither host and port nor a file, Error(unavailable)
  // where rank 0 cannot listen, Error(run) when the time is up.
  TcpChannel(const JobPlace& place, double timeout_s);
  ~TcpChannel();
  TcpChannel(const TcpChannel&) = delete;
  TcpChannel& operator=(const TcpChannel&) = delete;

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }

  // Collective: what each process said, by rank. `what` is for errors: "the id of NCCL".
  std::vector<std::string> all_gather(std::string_view mine, std::string_view what);
  // The others are told why this process leaves: their next all_gather throws these words.
  void leave(std::string_view why) noexcept;

 private:
  using Time = std::chrono::steady_clock::time_point;

  void gather_processes(Time deadline);  // rank 0
  void call_rank_0(Time deadline);       // the others
  Time rank_0_has_given_up() const;
  [[noreturn]] void give_up(const std::string& problem, const std::string& fix);
  std::string take(int peer, std::string_view what, Time deadline);
  void tell(int peer, char kind, std::string_view bytes, std::string_view what, Time deadline);

  JobPlace place_;
  double timeout_s_;
  std::vector<Socket> lines_;  // rank 0: by rank, its own closed; the others: [0] is to rank 0
  bool wrote_file_ = false;
};

}  // namespace tplab
