// AdamW as nanoGPT configures it, on the flat list of parameters, clipped by the true global norm.
#pragma once

#include "model/training/data_parallel.h"

namespace tplab {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;  // of parameters with two dimensions
  double grad_clip = 1.0;     // largest global norm of the gradients; 0 never clips
};

// Adam's moments of the parameters this rank updates: all of them, or under ZeRO its part. Where
// parameters are bf16, a step is less than half the distance between two of them and would be
// rounded away: steps are made on f32 masters, of which the parameters are rounded copies.
//   source: Micikevicius et al. 2018, section 3.1
class Optimizer {
 public:
  // source: what `parameters` were loaded from, by `plan`; masters are its own numbers, not the
  // rounded ones.
  Optimizer(Rank& rank, const FlatParameters& parameters, const WeightSource& source,
            const ShardPlan& plan, const OptimizerOptions& options, Zero zero);

  // The 2-norm of the mesh's gradients, every parameter counted once (shards are summed over the tp
  // ranks, what all of them hold is counted on the first), and what the step multiplies them with:
  // NaN where the norm or the loss is not finite. The same bits on every rank.
  //   loss: [1], f64   ->   [1], f64 each
  //   comm: 1 scalar all-reduce over tp, under ZeRO 2 one more over dp
  struct Clipping {
    Array norm, scale;
  };
  Clipping clipping(const MeshGradients& gradients, const Array& loss) const;

  // One step, `step` counting from 1; of gradients whose scale is NaN, none.
  //   p -= lr (m̂ / (√v̂ + eps) + decay p), the decay first   (Loshchilov and Hutter 2019)
  //   comm: under ZeRO 1 all-gather over dp, of the parameters in their own dtype
  void step(const MeshGradients& gradients, const Clipping& clip, double learning_rate,
            int64_t step);

  // The moments, [part().size()], of part() of the flat list, and what is saved of the parameters:
  // themselves, or their masters. Accumulators all. Read and written by checkpoints.
  Range part() const { return part_; }
  Array& m() { return m_; }
  Array& v() { return v_; }
  const Array& masters() const { return masters_; }
  bool has_masters() const { return masters_.dtype() != parameters_.values.dtype(); }

 private:
  void load_masters(const WeightSource& source, const ShardPlan& plan);

  Rank& rank_;
  FlatParameters parameters_;
  OptimizerOptions options_;
  Zero zero_;
  Range part_;
  Array m_, v_, masters_;
};

}  // namespace tplab
