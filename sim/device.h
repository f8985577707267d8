// The device seam: memory and the operations a transformer needs, on one rank, untyped.
//
// A device knows nothing of other ranks. Placements are checked one level up, in ops.h; shapes
// and dtypes are checked there too, so an implementation may assume what REQUIRES says.
// Sizes here are local: what this rank holds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sim/array.h"
#include "sim/random.h"

namespace tplab {

class Crew;

enum class Gelu {
  erf,   // x Phi(x): nanoGPT, PyTorch's default
  tanh,  // its approximation (Hendrycks and Gimpel 2016): OpenAI's GPT-2, "gelu_new"
};

// Which numbers dropout drops: a function of global indices alone, so the masks are the same
// however tensors are split. Number i is dropped if 32 bits of the stream at i (word i % 4 of block
// i / 4) are below rate * 2^32; what stays is divided by 1 - rate.
struct DropoutMask {
  double rate = 0;  // 0 <= rate < 1
  RandomStream stream;
  // Element (b, t, c) of this rank's [B, T, C] is number
  //   ((first_sequence + b) whole_length + first_position + t) C + c;
  // attention probability (b, h, t, s), the whole sequence being here, is number
  //   (((first_sequence + b) whole_heads + first_head + h) whole_length + t) whole_length + s.
  int64_t first_sequence = 0, first_position = 0, whole_length = 0;
  int64_t first_head = 0, whole_heads = 0;
};

// One step of AdamW, the numbers in it being the same for every parameter of a group.
struct AdamW {
  double learning_rate, beta1, beta2, eps, weight_decay;
  double grad_scale;  // gradients are multiplied by this first: clipping
  int64_t step;       // from 1
};

struct MemoryUse {
  int64_t current_bytes = 0;  // allocated now
  int64_t peak_bytes = 0;     // the most ever allocated at once
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;
  // False for the meta device, which knows shapes only: loading into it would be in vain.
  virtual bool has_numbers() const { return true; }

  // --- Memory. Owned by the arrays; freed memory is kept for the next allocation of its size.

  // Contents are undefined. Throws Error(unavailable) with the size when memory runs out.
  virtual Array allocate(DType dtype, const Shape& shape) = 0;
  virtual void upload(HostSpan from, Array& to) = 0;          // REQUIRES: equal dtype and count
  virtual void download(const Array& from, HostSpan to) = 0;  // likewise
  virtual void zero(Array& x) = 0;
  // The numbers themselves where the device's memory is host memory, else null (use upload).
  virtual void* host_memory(Array&) { return nullptr; }
  virtual MemoryUse memory() const = 0;

  // --- The network. "y" may be the same array as "x" (and as "a" or "b") in add, gelu, layer_norm.

  // y = x Wᵀ + b.   x: [.., K]   w: [N, K]   bias: [N] or null   ->   y: [.., N]
  virtual void linear(const Array& x, const Array& w, const Array* bias, Array& y) = 0;

  // y = a + b, b being of a's shape or one row of it ([a's last size]).
  virtual void add(const Array& a, const Array& b, Array& y) = 0;

  // erf: x/2 (1 + erf(x/√2)).  tanh: x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))).
  virtual void gelu(Gelu kind, const Array& x, Array& y) = 0;

  // y = (x - mean) / sqrt(var + eps) * weight + bias, over each row; var is the mean square of
  // x - mean, computed in two passes.   x, y: [.., C]   weight: [C]   bias: [C] or null
  virtual void layer_norm(const Array& x, const Array& weight, const Array* bias, double eps,
                          Array& y) = 0;

  // y[i] = table[ids[i] - first_row], or zeros where that row is not in the table (another rank's
  // part of the vocabulary).   table: [rows, C]   ->   y: [.., C], ids.size() rows
  virtual void embedding(std::span<const int32_t> ids, const Array& table, int64_t first_row,
                         Array& y) = 0;

  // Causal multi-head attention. Stores the new keys and values at positions past .. past+T-1 of
  // `keys` and `values`, then for each new position t:  y = softmax(q K[0..past+t]ᵀ / √D) V.
  //   qkv: [B, T, 3 H D], q then k then v, each H heads of D   keys, values: [B, H, S, D]
  //   y: [B, T, H D]      REQUIRES: past + T <= S
  // source: Vaswani et al. 2017, section 3.2
  virtual void cached_attention(const Array& qkv, int64_t past, Array& keys, Array& values,
                                Array& y) = 0;

  // y = the last position of each sequence.   x: [B, T, C]   ->   y: [B, 1, C]
  virtual void last_position(const Array& x, Array& y) = 0;

  // Undoes the order in which an all-gather along the last dimension delivers its shards, dropping
  // padding: y[i, s n + j] = shards[s, i, j] for s n + j < y's last size.
  //   shards: [S, rows, n]   ->   y: [.., <= S n]
  virtual void join_shards(const Array& shards, Array& y) = 0;

  // The reverse, for shards first .. first + S - 1: shards[s, i, j] = x[i, (first + s) n + j].
  //   x: [.., >= (first + S) n]   ->   shards: [S, rows, n]
  virtual void cut_shards(const Array& x, int64_t first, Array& shards) = 0;

  // Mean over rows with target >= 0 of log(sum exp(row)) - row[target]; the row's maximum is
  // subtracted first.   logits: [.., V], targets.size() rows
  virtual double cross_entropy(const Array& logits, std::span<const int32_t> targets) = 0;

  // --- Backward. dy is the gradient of y. Gradients of parameters (dw, db, dtable, dweight, dbias)
  // are ADDED to, the others overwritten.

  // dx = dy W.   dy: [.., N]   w: [N, K]   ->   dx: [.., K]
  virtual void linear_backward_input(const Array& dy, const Array& w, Array& dx) = 0;
  // dw += dyᵀ x.   dy: [.., N]   x: [.., K]   ->   dw: [N, K]
  virtual void linear_backward_weight(const Array& dy, const Array& x, Array& dw) = 0;
  // db += the sum of dy's rows: a bias's gradient.   dy: [.., N]   ->   db: [N]
  virtual void sum_rows(const Array& dy, Array& db) = 0;

  // dx = dy gelu'(x). dx may be dy.
  // erf: gelu' = Φ(x) + x φ(x).  tanh: with s = 1 / (1 + exp(-2u)), u = √(2/π) (x + 0.044715 x³),
  // gelu' = s + 2 x s (1 - s) u'.
  virtual void gelu_backward(Gelu kind, const Array& x, const Array& dy, Array& dx) = 0;

  // With n = (x - mean) / sqrt(var + eps), recomputed from x, and g = dy weight, over each row:
  //   dx = (g - mean(g) - n mean(g n)) / sqrt(var + eps),   dweight += Σ dy n,   dbias += Σ dy
  // the sums being over rows. dbias may be null. dx may be dy.
  virtual void layer_norm_backward(const Array& x, const Array& weight, double eps, const Array& dy,
                                   Array& dx, Array& dweight, Array* dbias) = 0;

  // dtable[ids[i] - first_row] += dy[i] where that row is in the table, in the order of i.
  virtual void embedding_backward(std::span<const int32_t> ids, const Array& dy, int64_t first_row,
                                  Array& dtable) = 0;

  // Causal attention over whole sequences, for training: no cache. With s the scores q kᵀ / √D of
  // the positions up to t, m their largest and d the dropout factors (1 where mask is null):
  //   log_sums = log Σ exp(s - m),   y = (exp(s - m - log_sums) d) v
  // The exponents are differences of scores, scaled: right for any finite scores, as decoding's.
  //   qkv: [B, T, 3 H D], q then k then v   ->   y: [B, T, H D]   log_sums: [B, H, T]
  virtual void causal_attention(const Array& qkv, int64_t heads, const DropoutMask* mask, Array& y,
                                Array& log_sums) = 0;
  // Its gradient; the probabilities are recomputed from log_sums, which the forward left.
  //   dy: [B, T, H D]   ->   dqkv: [B, T, 3 H D]
  // source: Dao et al. 2022, appendix B.2 (the row sums Σ p dp as dy y)
  virtual void causal_attention_backward(const Array& qkv, int64_t heads, const DropoutMask* mask,
                                         const Array& y, const Array& log_sums, const Array& dy,
                                         Array& dqkv) = 0;

  // y = x, dropped or divided by 1 - rate. Its own backward, applied to dy. y may be x.   [B, T, C]
  virtual void dropout(const Array& x, const DropoutMask& mask, Array& y) = 0;

  // --- Vocab-parallel cross-entropy, in the parts between which ranks communicate. Of x: [.., C]
  // the first `cols` columns are real, 0 <= cols <= C, and the rest padding. `ids` has an entry for
  // each row, and so have out, shift and sums.

  // out[r] = the largest of x[r], -inf where cols = 0, NaN if any is NaN.
  virtual void row_max(const Array& x, int64_t cols, Array& out) = 0;
  // out[r] = x[r, ids[r] - first] where 0 <= ids[r] - first < cols, else 0.
  virtual void pick(const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first,
                    Array& out) = 0;
  // In place x = exp(x - shift[r]), 0 past cols; sums[r] = their sum, added up in double.
  virtual void exp_rows(Array& x, int64_t cols, const Array& shift, Array& sums) = 0;
  // In place x = scale (x / sums[r] - [j = ids[r] - first]), 0 past cols and where ids[r] < 0.
  virtual void softmax_minus_onehot(Array& x, int64_t cols, const Array& sums,
                                    std::span<const int32_t> ids, int64_t first, double scale) = 0;

  // --- The optimizer.

  // Added up in double.
  virtual double sum_of_squares(const Array& x) = 0;
  // As PyTorch's, with g = grad_scale gradient:   p *= 1 - lr wd,   m = β1 m + (1 - β1) g,
  //   v = β2 v + (1 - β2) g²,   p -= lr / (1 - β1^t) m / (√v / √(1 - β2^t) + eps)
  // source: Loshchilov and Hutter 2019, algorithm 2
  virtual void adamw(const AdamW& step, const Array& gradient, Array& m, Array& v,
                     Array& parameter) = 0;

  // --- For communicators: memory of several ranks, element by element. Raw pointers of this
  // device's kind of memory.

  // out = terms[0] + terms[1] + ... in that order, whatever the number of threads. out may be one
  // of the terms.
  virtual void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  // out = the largest of the terms, element by element; NaN if any term is NaN.
  virtual void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;

  // --- For benchmarks.

  // Reads all numbers and forgets them, as fast as it can: what any operation on them takes at
  // least.
  virtual void read(std::span<const Array> arrays) = 0;
};

// The CPU: Eigen, and the rank's own crew of threads.
std::unique_ptr<Device> make_cpu_device(Crew& crew);

}  // namespace tplab
