// Sums gradients over the data-parallel ranks: replicas of the model that trained on other
// sequences.
#pragma once

#include <cstdint>

#include "model/layers/loader.h"
#include "model/parallelism.h"

namespace tplab {

// Gradients summed over the whole mesh: what the optimizer takes.
struct MeshGradients {
  Array numbers;  // [part.size()]
  Range part;     // of the flat list: all of it, or under ZeRO 2 what this rank owns
};

// Gradients of ~25 MB are reduced together, as PyTorch's DistributedDataParallel does (Li et al.
// 2020): large enough for the bandwidth, small enough to overlap one day.
inline constexpr int64_t kBucketBytes = 25 << 20;

// Consumes what finish_gradients() returned. comm, over dp ranks, P the flat list's bytes:
//   none, states: an all-reduce a bucket: 2 (dp-1)/dp P in all;  gradients: 1 reduce-scatter
MeshGradients sum_over_replicas(Rank& rank, const FlatParameters& parameters,
                                const Gradients& gradients, Zero zero);

// After each rank has updated its part: everybody gets every part. comm: 1 all-gather of P.
void gather_parts(Rank& rank, const FlatParameters& parameters);

}  // namespace tplab
