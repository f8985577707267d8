// The keys and values of past positions, each rank those of its own heads.
#pragma once

#include <cstdint>
#include <vector>

#include "model/shard_plan.h"
#include "sim/ops/past.h"
#include "sim/tensor.h"

namespace tplab {

struct KvPair {
  Tensor<Varying> keys, values;  // [B, H/tp, S, D]
};

// Bytes a token, all ranks together: 2 L C sizeof(x) of a GPT.
class KvCache {
 public:
  // Room for `context` positions of `batch` sequences.
  KvCache(Rank& rank, const ShardPlan& plan, DType dtype, int64_t batch);

  int64_t length() const { return past_.at_most; }  // positions filled
  // The same for operations, which read it on the device, always in the same place.
  const Past& past() const { return past_; }
  KvPair layer(int64_t i) const { return layers_[static_cast<size_t>(i)]; }
  // Once per forward pass, when every layer has stored its new positions.
  void advance(int64_t positions) { fill(length() + positions); }
  void clear() { fill(0); }
  // The same memory, of a step that will be replayed for every position up to the last.
  KvCache to_the_end() const {
    KvCache same = *this;
    same.past_.at_most = layers_.empty() ? 0 : layers_[0].keys.array().shape()[2] - 1;
    return same;
  }

 private:
  void fill(int64_t positions);

  std::vector<KvPair> layers_;
  Past past_;
};

}  // namespace tplab
