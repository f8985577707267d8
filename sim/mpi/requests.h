// Messages on their way, sent and awaited: none of these calls waits.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "sim/error.h"

namespace tplab {

// Thrown where a process is lost: it is gone, does not answer in time, or MPI has failed. Nothing
// more can be told to all; the program ends, and with it its other processes.
class Lost : public Error {
 public:
  Lost(const std::string& problem, const std::string& fix) : Error(ErrorKind::run, problem, fix) {}
};

// Throws Lost where an MPI function says anything but success.
void check_mpi(int code, const char* function);

// Used again and again: clear() keeps the memory.
class Requests {
 public:
  explicit Requests(MPI_Comm comm) : comm_(comm) {}
  // What was to be received and has not come no longer is.
  ~Requests() { clear(); }
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;

  void send(int peer, int tag, std::span<const std::byte> data);
  void send_until_received(int peer, int tag, std::span<const std::byte> data);
  void receive(int peer, int tag, std::span<std::byte> to);
  bool done();      // all of them: what was received may be read, what was sent overwritten
  bool received();  // all that was to be received
  std::vector<int> awaited() const;  // peers from which something has not come; then those to which
  void clear();

 private:
  void add(int peer, bool receiving) {
    peers_.push_back(peer);
    receiving_.push_back(receiving);
  }

  MPI_Comm comm_;
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;
  std::vector<char> receiving_;
};

}  // namespace tplab
