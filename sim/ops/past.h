// Where the positions that an operation is given begin in their sequences.
#pragma once

#include "sim/tensor.h"

namespace tplab {

namespace op {

// Position t of sequence b in an array [B, T, ..] is position filled[b] + t of its sequence. The
// numbers are on the device, so that a step which was captured once can be replayed further on: a
// kernel takes positions from `filled` alone. What the host knows serves checks, room and costs; of
// a step that will be replayed it is the furthest that it may reach.
struct Past {
  Array filled;         // [B], i32, none above at_most; absent: zeros
  int64_t at_most = 0;  // exactly the largest of them, but in a replay
};

// filled fits B sequences, or is absent.
inline bool past_of(const Past& past, int64_t B) {
  return past.at_most >= 0 &&
         (past.filled.present() ? past.filled.dtype() == DType::i32 && past.filled.count() == B
                                : past.at_most == 0);
}

}  // namespace op

// The same of a tensor; the default is of whole sequences.
struct Past {
  Tensor<Invariant> filled;  // [B], ids
  int64_t at_most = 0;

  op::Past arrays() const { return {filled.array(), at_most}; }
};

}  // namespace tplab
