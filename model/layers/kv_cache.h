// The keys and values of past positions, each rank those of its own heads.
#pragma once

#include <cstdint>
#include <vector>

#include "model/shard_plan.h"
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

  int64_t length() const { return length_; }  // positions filled
  KvPair layer(int64_t i) const { return layers_[static_cast<size_t>(i)]; }
  // Once per forward pass, when every layer has stored its new positions.
  void advance(int64_t positions) { length_ += positions; }
  void clear() { length_ = 0; }

 private:
  std::vector<KvPair> layers_;
  int64_t length_ = 0;
};

}  // namespace tplab
