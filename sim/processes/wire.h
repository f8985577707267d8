// The seam to what carries messages between processes: mpi/ has it by MPI, tcp/ by sockets.
// Messages have a tag; those of one tag from one process to another are received in the order of
// sending.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/error.h"

namespace tplab {

// Thrown where a process is lost: it is gone, does not answer in time, or the wire has failed.
// Nothing more can be told to all; the program ends, and with it its other processes.
class Lost : public Error {
 public:
  Lost(const std::string& problem, const std::string& fix) : Error(ErrorKind::run, problem, fix) {}
};

// Messages on their way, sent and awaited: none of these calls waits. Used again and again: clear()
// keeps the memory. What was to be received and has not come when this is gone no longer is.
class Requests {
 public:
  virtual ~Requests() = default;

  virtual void send(int peer, int tag, std::span<const std::byte> data) = 0;
  virtual void send_until_received(int peer, int tag, std::span<const std::byte> data) = 0;
  // A message of that size, or a smaller one.
  virtual void receive(int peer, int tag, std::span<std::byte> to) = 0;
  virtual bool done() = 0;  // all of them: what was received may be read, what was sent overwritten
  // Peers from which something has not come; then those to which.
  virtual std::vector<int> awaited() const = 0;
  virtual void clear() = 0;
};

// One in a process; lasts longer than its Requests. All of it throws Lost where the wire fails.
class Wire {
 public:
  virtual ~Wire() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int most_tag() const = 0;  // tags are 0 to this
  virtual std::unique_ptr<Requests> requests() = 0;
  // The message from any process with this tag, if there is one: who sent it, and what.
  virtual std::optional<std::pair<int, std::string>> take_message(int tag) = 0;
  // Collective, at the start: what each has, of one size.   all: size() times `mine`
  virtual void all_gather(std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  // That process is known to be gone. (What it sent before may still be taken.)
  virtual bool has_closed(int /*peer*/) const { return false; }
  // Where a process is lost, messages to the others still go.
  virtual bool outlives_peers() const { return false; }
  // The last call, where processes are lost: ends all of them, if the wire can, and then does not
  // return.
  virtual void abandon(int /*exit_code*/) {}
};

}  // namespace tplab
