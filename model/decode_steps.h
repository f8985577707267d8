// Generation's step, one more token for every sequence, with no more of the host in it than need
// be.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/network.h"

namespace tplab {

// Where the device can (Device::capture), the second step is written down and all later ones are
// that again: the token ids and the cache's positions lie on the device, in the same place each
// time. A group of several ranks, which meets in collectives, and a run that is recorded are not
// captured: their steps are Network::next.
class DecodeSteps {
 public:
  // network and cache outlive it; the cache may be cleared and filled between steps.
  DecodeSteps(const Network& network, KvCache& cache) : network_(network), cache_(cache) {}

  // Logits of the position after the cached ones.   ids: [B]   ->   [B, 1, V], which are
  // overwritten by the next step. Throws as Network::next.
  const Tensor<Replicated>& next(const std::vector<int32_t>& ids);

  // Kernels and copies of a step; 0 where it is not captured, or not yet.
  int64_t launches() const { return replay_ ? replay_->launches() : 0; }

 private:
  void capture();

  const Network& network_;
  KvCache& cache_;
  int64_t steps_ = 0;
  Tensor<Invariant> ids_;  // [B, 1]
  Tensor<Replicated> logits_;
  std::unique_ptr<Replay> replay_;
};

}  // namespace tplab
