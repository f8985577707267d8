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

namespace tplab {

class Crew;

enum class Gelu {
  erf,   // x Phi(x): nanoGPT, PyTorch's default
  tanh,  // its approximation (Hendrycks and Gimpel 2016): OpenAI's GPT-2, "gelu_new"
};

struct MemoryUse {
  int64_t current_bytes = 0;  // allocated now
  int64_t peak_bytes = 0;     // the most ever allocated at once
};

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;

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
  virtual void attention(const Array& qkv, int64_t past, Array& keys, Array& values, Array& y) = 0;

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

  // --- For communicators: memory of several ranks, element by element. Raw pointers of this
  // device's kind of memory.

  // out = terms[0] + terms[1] + ... in that order, whatever the number of threads. out may be one
  // of the terms.
  virtual void sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  // out = the largest of the terms, element by element; NaN if any term is NaN.
  virtual void max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) = 0;
  virtual void copy(const void* from, void* to, int64_t bytes) = 0;
};

// The CPU: Eigen, and the rank's own crew of threads.
std::unique_ptr<Device> make_cpu_device(Crew& crew);

}  // namespace tplab
