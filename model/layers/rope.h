// The angles of rotary positions, as the table that the operation reads.
#pragma once

#include <vector>

#include "model/architecture.h"
#include "sim/tensor.h"

namespace tplab {

// By how much the angle of pair i grows a position, i < rotated / 2, of which f = theta^(-2 i /
// rotated) is the plain one:
//   linear: f / factor
//   llama3: s f + (1 - s) f / factor, with r = original_context f / 2π, the turns within the
//     context that was trained, and s = (r - low_factor) / (high_factor - low_factor), within
//     0 .. 1
//   yarn: s f + (1 - s) f / factor, with d(n) = rotated ln(original_context / 2π n) / (2 ln theta),
//     the pair that makes n turns, low = d(beta_fast) and high = d(beta_slow), rounded down and up
//     where they are truncated, and within 0 .. rotated - 1, and 1 - s = (i - low) / (high - low),
//     within 0 .. 1
// source: Su et al. 2021; Chen et al. 2023 for linear; Llama 3.1's reference code; Peng et al.
// 2023, section 3.2, and their code, whose ramp is over pairs; all as Hugging Face's transformers
std::vector<double> rope_frequencies(const Rope& rope);

// What cosines and sines are multiplied with: 0.1 ln(factor) + 1 for YaRN, so that scores get its
// square (Peng et al. 2023, section 3.4); 1 for others.
double rope_factor(const Rope& rope);

// [positions, rotated], accumulator(dtype): of each position the cosines and then the sines of its
// angles, times the factor. Computed in double.
Tensor<Invariant> rope_table(Rank& rank, const Rope& rope, int64_t positions, DType dtype);

}  // namespace tplab
