// Checkpoints of tplab's own with known values, for the tests of writing and reading them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoints/tplab_checkpoint.h"
#include "model/shard_plan.h"

namespace tplab::testing {

// Splits over 1, 2, 3, 4, 6 or 12 ranks; at tp 4 two of them hold no row of the vocabulary.
inline GptConfig twelve_heads() {
  return {.n_layer = 2,
          .n_head = 12,
          .n_embd = 24,
          .block_size = 16,
          .vocab_size = 65,
          .n_inner = 48,
          .tied_head = false,
          .gelu = Gelu::tanh,
          .layer_norm_eps = 1.25e-5};
}

inline const std::vector<std::string>& kinds() {
  static const std::vector<std::string> names = {"model.", "adamw.m.", "adamw.v."};
  return names;
}

// Number i of a tensor: different for every tensor and place, and exact in f32.
inline double number(size_t kind, size_t parameter, int64_t i) {
  return static_cast<double>((kind * 64 + parameter) * 4096 + static_cast<size_t>(i));
}

// Numbers [begin, end) of a rank's slice, as bytes of the dtype.
inline std::vector<double> local_numbers(size_t kind, size_t parameter, const ParameterRow& row,
                                         const Slice& slice) {
  const int64_t cols = cols_of(row.shape);
  std::vector<double> list;
  for (const Range& rows : slice.rows)
    for (int64_t r = rows.begin; r < rows.end; ++r)
      for (int64_t c = slice.cols.begin; c < slice.cols.end; ++c)
        list.push_back(number(kind, parameter, r * cols + c));
  return list;
}

// What one rank of a mesh writes: its slices of the weights (by dp rank 0 alone), and its dp-th
// part of its slices of the moments, as with ZeRO.
inline void write_share(StateWriter& writer, const ShardPlan& plan, int tp_rank, int dp,
                        int dp_rank, DType dtype) {
  for (size_t kind = 0; kind < kinds().size(); ++kind) {
    for (size_t p = 0; p < plan.rows().size(); ++p) {
      const ParameterRow& row = plan.rows()[p];
      const Slice slice = plan.saved_slice(row, tp_rank);
      const int64_t n = slice.count();
      const bool is_weight = kind == 0;
      if (is_weight && dp_rank != 0) continue;
      const int64_t begin = is_weight ? 0 : n * dp_rank / dp;
      const int64_t end = is_weight ? n : n * (dp_rank + 1) / dp;
      const std::vector<double> list = local_numbers(kind, p, row, slice);
      dispatch(dtype, [&](auto zero) {
        const std::vector<decltype(zero)> values(list.begin() + begin, list.begin() + end);
        writer.write(kinds()[kind] + row.tensor, slice, begin, end, values.data());
      });
    }
  }
}

}  // namespace tplab::testing
