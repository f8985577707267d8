// Agreement between ranks that are threads of one process: each shows its call to the others.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/agreement.h"
#include "sim/threads/thread_group.h"

namespace tplab {

// On cache lines of its own: its rank counts in it at every call.
class alignas(128) ThreadAgreement final : public Agreement {
 public:
  // `rank`: this one's place in the group. `device`: this rank's, which may still be at work when
  // the rank shows its memory to others.
  ThreadAgreement(std::shared_ptr<ThreadGroup> group, int rank, Device& device);

  void agree(const Post& call) override;
  std::vector<std::string> gather(const Post& call, const std::string& mine) override;
  std::unique_ptr<Agreement> split(const Post& call, int color, int key) override;

  // For a transport, which needs more than that all agree. A peer's post of the call agreed on last
  // is valid until this rank has met its peers again.
  ThreadGroup& group() { return *group_; }
  const Post& post_of(int peer) const { return group_->post_of(peer, calls_); }
  // Returns when every rank of the group has come. `releasable`: Wait's.
  void meet(const Post& call, bool releasable);
  // This rank's device reads what its peers' had computed when they posted the call agreed on last.
  void wait_for_inputs();
  // As meet(); this rank's device goes on when its peers' have done what they were given until now.
  void meet_when_done(const Post& call);

 private:
  std::shared_ptr<ThreadGroup> group_;
  Device& device_;
  uint64_t rounds_ = 0;  // rendezvous so far
  uint64_t calls_ = 0;   // agreements so far
};

}  // namespace tplab
