// A network, from one rank's view.
#pragma once

#include <optional>
#include <vector>

#include "model/layers/block.h"
#include "model/layers/head.h"
#include "model/layers/kv_cache.h"
#include "model/shard_plan.h"
#include "model/tokens.h"

namespace tplab {

// The sequences that one rank trains on in one pass.
struct MicroBatch {
  Tokens tokens;                 // [B, T]
  std::vector<int32_t> targets;  // [B, T]; below 0 is left out of the loss
  double weight = 1;             // of a position: see Targets
};

// What an architecture says: an embedding, blocks, a final norm, and a head.
//
// Residual says how the stream between layers lives: Invariant is TP, VaryingT adds sequence
// parallelism (model/layers/stream.h), for training.
//   comm, TP, at tp > 1, of [B, T, C] where nothing is said: forward 2 L + 1 all-reduces, and an
//   all-gather of the logits to generate or 3 all-reduces of [B, T] for the loss; backward 2 L + 1
//   source: Radford et al. 2019; karpathy/nanoGPT model.py
template <class Residual>
class BasicNetwork {
  using S = Stream<Residual>;

 public:
  // Copies this rank's shards from the source. Every rank makes its own. Throws Error(unavailable)
  // for an architecture with parts that are not computed yet.
  BasicNetwork(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype,
               Purpose purpose = Purpose::generate);

  // Logits of every position, the same on every rank.   tokens: [B, T]   ->   [B, T, V]
  // Throws Error(usage) if a token is outside the vocabulary or T is longer than the context.
  Tensor<Replicated> forward(const Tokens& tokens) const;

  // Logits of the last position only, keeping what past positions computed.
  //   tokens: [B, T], the positions after the cached ones   ->   [B, 1, V]
  Tensor<Replicated> next(const Tokens& tokens,
                          KvCache& cache) const requires same<Residual, Invariant>;

  // The same of tokens that lie on the device, at positions that the cache has there: what a device
  // may capture (model/decode_steps.h). The cache is not advanced.   ids: [B, 1]
  Tensor<Replicated> next_of(const Tensor<Invariant>& ids,
                             KvCache& cache) const requires same<Residual, Invariant>;
  // Throws what next() throws for such tokens.
  void check(const Tokens& tokens, const KvCache& cache) const;

  // What a forward pass keeps for its backward pass.
  struct Tape {
    typename Embedding<Residual>::Saved embedding;
    std::vector<typename Block<Residual>::Saved> blocks;
    Tensor<Residual> last;  // of the stream, before the final norm
    typename Head<Residual>::Saved head;
  };

  // total += the loss of a micro-batch, the same on every rank of the group. Fills `tape` unless it
  // is null.   total: [1], f64
  void add_loss(const MicroBatch& batch, const Pass& pass, const Tensor<Invariant>& total,
                Tape* tape) const;
  // Adds the gradient of that loss to the parameters' gradients.
  void backward(const Pass& pass, Tape tape) const;
  // After the last backward pass of a step: under SP sums the small gradients over the ranks, all
  // in one all-reduce. The optimizer takes what this returns, so it cannot be forgotten.
  Gradients finish_gradients() const;

  KvCache new_cache(int64_t batch) const { return KvCache(rank_, plan_, dtype_, batch); }
  const Architecture& architecture() const { return plan_.architecture(); }
  const ShardPlan& plan() const { return plan_; }
  DType dtype() const { return dtype_; }
  const FlatParameters& parameters() const { return flat_; }

 private:
  explicit BasicNetwork(Loader loader);
  static std::vector<Block<Residual>> load_blocks(Loader& loader);
  Tensor<Residual> stream(const Tokens& tokens, const Pass& pass, Tape* tape) const;  // [B, T, C]

  Rank& rank_;
  ShardPlan plan_;
  DType dtype_;
  Embedding<Residual> embedding_;
  std::vector<Block<Residual>> blocks_;
  Norm<Residual> final_norm_;
  Head<Residual> head_;
  FlatParameters flat_;
};

using Network = BasicNetwork<Invariant>;

}  // namespace tplab
