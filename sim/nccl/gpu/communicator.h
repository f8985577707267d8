// One rank's NCCL communicator, none of whose calls waits longer than its deadline.
#pragma once

#include <nccl.h>

#include <string>
#include <string_view>

namespace tplab {

// Used by its rank's thread only. The rank's GPU is the current one in every call.
class NcclCommunicator {
 public:
  // Collective. `who`: "rank 2 of 4", for errors.
  NcclCommunicator(const ncclUniqueId& id, int rank, int size, std::string who, double timeout_s);
  ~NcclCommunicator() { abort(); }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  ncclComm_t get() const { return comm_; }
  // What a call of NCCL said, which may be "in progress": returns when it is not.
  // Throws Error(run) when it failed, or does not end in time; the communicator is then aborted.
  void settle(ncclResult_t result, std::string_view call);
  // While the stream's work is awaited, for so many seconds now; `doing`: what was queued last.
  // Throws as settle().
  void look(double waited_s, const std::string& doing);
  // Lets go of the peers, so that no kernel of theirs or of this rank waits any more. Where NCCL
  // does not return from that in ten seconds the process ends, with this rank's name.
  void abort() noexcept;

 private:
  [[noreturn]] void fail(const std::string& problem);

  const std::string who_;
  const double timeout_s_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace tplab
