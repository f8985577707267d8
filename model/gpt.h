// nanoGPT's GPT, from one rank's view.
#pragma once

#include <vector>

#include "model/block.h"
#include "model/embedding.h"
#include "model/kv_cache.h"
#include "model/shard_plan.h"
#include "model/tokens.h"

namespace tplab {

// embedding, L blocks, a final norm, and a head split by vocabulary, tied to the embedding or not.
// Forward, at tp > 1: 2 L + 1 all-reduces of [B, T, C] and one all-gather of the logits.
//   source: Radford et al. 2019; karpathy/nanoGPT model.py
class Gpt {
 public:
  // Copies this rank's shards from the source. Every rank makes its own Gpt.
  Gpt(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype);

  // Logits of every position, the same on every rank.   tokens: [B, T]   ->   [B, T, V]
  // Throws Error(usage) if a token is outside the vocabulary or T is longer than the block.
  Tensor<Replicated> forward(const Tokens& tokens) const;

  // Logits of the last position only, keeping what past positions computed.
  //   tokens: [B, T], the positions after the cached ones   ->   [B, 1, V]
  Tensor<Replicated> next(const Tokens& tokens, KvCache& cache) const;

  KvCache new_cache(int64_t batch) const { return KvCache(rank_, plan_, dtype_, batch); }
  const GptConfig& config() const { return plan_.config(); }

 private:
  explicit Gpt(Loader loader);
  static std::vector<Block> load_blocks(Loader& loader);
  Tensor<Invariant> stream(const Tokens& tokens, KvCache* cache) const;  // [B, T, C]
  Tensor<Replicated> head(const Tensor<Invariant>& x) const;

  Rank& rank_;
  ShardPlan plan_;
  DType dtype_;
  Embedding embedding_;
  std::vector<Block> blocks_;
  LayerNorm final_norm_;
  Tensor<Varying> head_;  // [V/tp, C]
};

}  // namespace tplab
