// Generation's step, one more token for every sequence, with no more of the host in it than need
// be.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "model/network.h"

namespace tplab {

// Where the device can (Device::capture), the second step is written down and all later ones are
// that again: the token ids and the cache's positions lie on the device, in the same place each
// time. Else steps are Network::next. Ranks that are threads of one GPU could be captured too, all
// their streams as one graph; so far only one rank alone is.

// Why a rank whose device captures does not, in words that end a sentence. Empty where it does, and
// where the device does not anyway.
std::string_view why_not_captured(Rank& rank);

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
