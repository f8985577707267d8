// One rank's NCCL communicator, none of whose calls waits longer than its deadline.
#pragma once

#include <nccl.h>

#include <functional>
#include <string>
#include <string_view>

#include "sim/post.h"

namespace tplab {

// Used by its rank's thread only. The rank's GPU is the current one in every call.
class NcclCommunicator {
 public:
  // Collective. `who`: "rank 2 of 4", for errors. `look_at_peers`: called now and then while this
  // rank waits; what it throws ends the wait.
  NcclCommunicator(const ncclUniqueId& id, int rank, int size, std::string who, double timeout_s,
                   std::function<void()> look_at_peers);
  ~NcclCommunicator() { abort(); }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  ncclComm_t get() const { return comm_; }
  // What a call of NCCL said, which may be "in progress": returns when it is not.
  // Throws Error(run) when it failed, or does not end in time; the communicator is then aborted.
  void settle(ncclResult_t result, std::string_view call);
  // While the stream's work is awaited, for so many seconds now; `last`: what was queued last.
  // Throws as settle().
  void look(double waited_s, const Post& last);
  // Lets go of the peers, so that no kernel of theirs or of this rank waits any more. Where NCCL
  // does not return from that in ten seconds, or in the timeout, the process ends, with this rank's
  // name.
  void abort() noexcept;

 private:
  void look_at_peers(double waited_s);
  [[noreturn]] void fail(const std::string& problem);

  const std::string who_;
  const double timeout_s_;
  const std::function<void()> look_at_peers_;
  double next_look_s_ = 0;  // of the wait that lasts
  ncclComm_t comm_ = nullptr;
};

}  // namespace tplab
