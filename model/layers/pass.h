// What one pass through the network is for: its cache, its dropout, what it keeps.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "model/layers/stream.h"
#include "model/parameters.h"
#include "sim/ops.h"

namespace tplab {

class KvCache;

// nanoGPT's dropout in one micro-batch. Masks depend on (seed, step, the layer's key, global index)
// alone, so they are the same at every mesh, with and without SP, and in a recomputation.
struct Dropout {
  double rate = 0;
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t first_sequence = 0;  // of this rank's sequences in the step's batch

  DropoutMask mask(std::string_view key) const {
    return {.rate = rate,
            .stream = RandomStream(seed, fmt::format("dropout/{}/{}", step, key)),
            .first_sequence = first_sequence};
  }
};

// "block 3/attn": whose masks these are. (A block's attention draws two kinds from one key: of its
// probabilities and of what it adds to the stream. Indices of both begin at 0.)
inline std::string dropout_key(const Place& at, std::string_view layer) {
  return fmt::format("block {}/{}", at.block, layer);
}

struct Pass {
  KvCache* cache = nullptr;                // generation: the past positions
  const Tensor<Invariant>* ids = nullptr;  // [B, T], a replayed step's tokens, on the device
  const Dropout* dropout = nullptr;        // training, where the rate is above 0
  bool regather = false;   // SP: gather inputs again in the backward pass, see SavedInput
  bool recompute = false;  // keep only each block's input; run it again in the backward
  // Drops from this rank's part of the stream, and from its gradient.
  template <class Residual>
  Tensor<Residual> drop(Tensor<Residual> x, std::string_view key) const {
    if (!dropout) return x;
    DropoutMask mask = dropout->mask(key);
    const Positions at = Stream<Residual>::positions(x);
    mask.first_position = at.first;
    mask.whole_length = at.whole;
    return tplab::dropout(std::move(x), mask);
  }
  // For the probabilities of this rank's heads.
  std::optional<DropoutMask> attention_mask(std::string_view key, int64_t first_head,
                                            int64_t whole_heads, int64_t length) const {
    if (!dropout) return std::nullopt;
    DropoutMask mask = dropout->mask(key);
    mask.whole_length = length;
    mask.first_head = first_head;
    mask.whole_heads = whole_heads;
    return mask;
  }
};

}  // namespace tplab
