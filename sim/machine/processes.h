// The seam to programs that are many processes, one a rank: what starts them, and what they tell
// one another outside of collectives. processes/ has it, over MPI or sockets.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/agreement.h"
#include "sim/machine/mesh.h"
#include "sim/transport.h"

namespace tplab {

class Device;
class Rank;

// This process's part of one run of a world. Used by its rank's thread only.
class ProcessRun {
 public:
  virtual ~ProcessRun() = default;

  // Collectives that fail say where this rank is.
  virtual void watch(const Rank& rank) = 0;
  // `members`: global indices, in the order of their ranks in the group; this process is one.
  // `carry`: small numbers may travel with the agreement. False where something else than the
  // post's numbers is to be moved (CommBreakage).
  virtual std::unique_ptr<Agreement> agreement(std::vector<int> members, Axis axis, Device& device,
                                               bool carry) = 0;
  virtual std::unique_ptr<Transport> transport(Agreement& agreement, Device& device) = 0;

  // The rank's body is over, by an exception or by none. Tells the others, and returns once all
  // ranks' bodies are over: null, or in all processes the failure that World rethrows. Where
  // processes are lost, no more can be told.
  virtual std::exception_ptr end(std::exception_ptr mine) = 0;
  // After end(): every process's bytes, by rank.
  virtual std::vector<std::string> gather(const std::string& mine) = 0;
};

// How a process ends: its exit code, and what it has to say (empty: nothing).
struct Ending {
  int exit_code = 0;
  std::string message = {};
  bool released = false;  // only since another one failed, which says why (PeerFailed)
};

// All processes of the program, as one of them sees them.
class Processes {
 public:
  virtual ~Processes() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Among the processes of this one's machine: which of its GPUs is this one's.
  virtual int place() const = 0;
  // Cores that this process may keep busy: of those that several may run on, its part.
  virtual double cores() const = 0;
  // A process, a peer of this one, is gone or does not answer: nothing more can be told to all.
  virtual bool lost() const = 0;

  // Begins a run, in all processes.   REQUIRES: mesh.ranks() == size()
  virtual std::unique_ptr<ProcessRun> begin(const Mesh& mesh, double timeout_s) = 0;
  // Does `work` in rank 0's process alone, and tells all what it returned; where it throws, all
  // processes throw that. For what belongs to all of them, as a folder does, or stdin.
  virtual std::string once(const std::function<std::string()>& work) = 0;

  // Every process's bytes, by rank.
  virtual std::vector<std::string> gather(const std::string& mine) = 0;

  // The last call. Tells the others, and waits for them: how all of them end, and what this process
  // is to print. Rank 0's says what all have to say.
  virtual Ending leave(const Ending& mine) = 0;
};

// Null where this process is the whole program. A process belongs to one such program at most, as
// MPI has it; what starts it sets this, before all else (cli/main.cpp).
Processes* processes();
void set_processes(Processes* all);

// True in the one process that prints, and writes to what all share: rank 0's.
inline bool is_first_process() { return !processes() || processes()->rank() == 0; }

// Processes::once; where this process is the whole program, work().
std::string once_told(const std::function<std::string()>& work);
void once(const std::function<void()>& work);

}  // namespace tplab
