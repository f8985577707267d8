// What the reference's two directions share: a network's parts with their weights, and what a
// forward pass keeps of each.
//
// A part loads its weights where it uses them, a layer's at a time, in either direction.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "verify/reference/dense.h"
#include "verify/reference/reference.h"
#include "verify/reference/reference_names.h"

namespace tplab::dense {

template <class Real>
using Numbers = std::vector<Real>;

// The two parameters of a linear layer or a norm; the bias is empty where there is none. Of layers
// of one input, whose outputs lie side by side, all together.
template <class Real>
struct Affine {
  Numbers<Real> weight, bias;
};

// A pass over a batch: what every part of the network needs.
struct Context {
  const Architecture& architecture;
  const Weights& weights;
  Names names;
  int64_t B, T, ranks;
  const Visitor& visit;

  int64_t width() const { return architecture.width; }
};

// A parameter of `count` numbers, rounded to Real. Throws Error(usage) if it has another number.
template <class Real>
Numbers<Real> load(const Context& context, const std::string& name, int64_t count);
// Modules of so many outputs each; one module of several has all of them.
struct Modules {
  std::vector<std::string> names;
  int64_t in;
  std::vector<int64_t> out;
  bool bias;
  Shares shares = {};

  int64_t outputs() const;
  int64_t outputs_of(size_t module) const { return names.size() == 1 ? outputs() : out[module]; }
};
template <class Real>
Affine<Real> load(const Context& context, const Modules& modules);
template <class Real>
Affine<Real> load_norm(const Context& context, const std::string& name, const NormSpec& spec,
                       int64_t width);

// What is kept of a branch: its steps, in the order of the computation.
template <class Real>
struct HeadsSteps {      // of q, or of k; n heads
  Numbers<Real> raw;     // what a norm normalises: [B, n, T, D], or a full-width one's [B, T, n D]
  Numbers<Real> turned;  // [B, n, T, D]: as scores read them
};
template <class Real>
struct AttentionSteps {
  HeadsSteps<Real> q, k;
  Numbers<Real> v, scores, softmax, heads;  // [B, K, T, D], twice [B, H, T, T], [B, T, H D]
};
template <class Real>
struct MlpSteps {
  Numbers<Real> up, act;  // [N, F] or [N, 2 F], [N, F]
};
template <class Real>
struct ExpertsSteps {
  Numbers<Real> logits;                      // [N, E]
  std::vector<std::vector<int64_t>> chosen;  // N times `active` experts, in their order
  Numbers<Real> shares;                      // [N, active]
};

template <class Real>
struct BranchSteps {
  Numbers<Real> in;  // [B, T, C]: what it reads
  std::variant<AttentionSteps<Real>, MlpSteps<Real>, ExpertsSteps<Real>> what;
};

template <class Real>
struct JoinSteps {
  Numbers<Real> x;       // [B, T, C]: the stream before
  Numbers<Real> before;  // normed, where the join has a norm
  std::vector<BranchSteps<Real>> branches;
  Numbers<Real> sum, after;  // of the branches, and normed
};

template <class Real>
using BlockSteps = std::vector<JoinSteps<Real>>;

template <class Real>
struct NetworkSteps {
  std::vector<BlockSteps<Real>> blocks;  // empty unless kept
  Numbers<Real> x;                       // [B, T, C], what the last norm normalises
  Numbers<Real> normed, logits;          // [B, T, C], [B, T, V]
  Affine<Real> head;                     // the parameter: a tied one is the token table
};

// Where a branch is, for the names of its parameters.
struct At {
  int64_t block;
  size_t join, branch;
};

// A branch's term of the stream, [B, T, C], with its bias; shown under `site`.
template <class Real>
Numbers<Real> attention(const Context& context, const AttentionSpec& spec, At at,
                        const std::string& site, const Numbers<Real>& x,
                        AttentionSteps<Real>& steps);
template <class Real>
Numbers<Real> mlp(const Context& context, const MlpSpec& spec, At at, const std::string& site,
                  const Numbers<Real>& x, MlpSteps<Real>& steps);
template <class Real>
Numbers<Real> experts(const Context& context, const ExpertsSpec& spec, At at,
                      const std::string& site, const Numbers<Real>& x, ExpertsSteps<Real>& steps);

// Backward: takes the gradient of the term, gives that of x, and hands over its parameters'.
template <class Real>
Numbers<Real> attention_backward(const Context& context, const AttentionSpec& spec, At at,
                                 const Numbers<Real>& x, const AttentionSteps<Real>& steps,
                                 const Numbers<Real>& dy, const TakeGradient<Real>& take);
template <class Real>
Numbers<Real> mlp_backward(const Context& context, const MlpSpec& spec, At at,
                           const Numbers<Real>& x, const MlpSteps<Real>& steps,
                           const Numbers<Real>& dy, const TakeGradient<Real>& take);
template <class Real>
Numbers<Real> experts_backward(const Context& context, const ExpertsSpec& spec, At at,
                               const Numbers<Real>& x, const ExpertsSteps<Real>& steps,
                               const Numbers<Real>& dy, const TakeGradient<Real>& take);

// "attn", "mlp", "attn+mlp": of a join's branches.
std::string site_of(const JoinSpec& spec);

// The gradients of modules that lie side by side, each under its own name.
template <class Real>
void take_modules(const TakeGradient<Real>& take, const Modules& modules, Numbers<Real> weight,
                  Numbers<Real> bias);

Modules head_of(const Context& context);
Modules qkv_of(const Context& context, const AttentionSpec& spec, At at);
Modules attention_out_of(const Context& context, const AttentionSpec& spec, At at);
Modules up_of(const Context& context, const MlpSpec& spec, At at, int64_t expert = Names::kNone);
Modules down_of(const Context& context, const MlpSpec& spec, At at, int64_t expert = Names::kNone);

// A layer's operands, as dense.h wants them.
template <class Real>
Linear<Real> linear_of(const Numbers<Real>& x, const Affine<Real>& p, const Modules& modules) {
  return {.x = x,
          .weight = p.weight,
          .bias = p.bias,
          .in = modules.in,
          .out = modules.outputs(),
          .shares = modules.shares};
}
template <class Real>
Norm<Real> norm_of(const Numbers<Real>& x, const Affine<Real>& p, const NormSpec& spec,
                   int64_t width) {
  return {.x = x,
          .weight = p.weight,
          .bias = p.bias,
          .C = width,
          .eps = spec.eps,
          .rms = spec.kind == NormSpec::Kind::rms,
          .plus_one = spec.plus_one};
}

// 0 .. T-1 for each sequence of the batch.
std::vector<int> positions(int64_t B, int64_t T);

// Throws Error(usage) unless the batch fits the model.
void check_batch(const TokenBatch& batch, const Architecture& architecture);

// The whole forward pass. Without keep_blocks no more than one block's steps are in memory.
template <class Real>
NetworkSteps<Real> network_forward(const Context& context, const TokenBatch& batch,
                                   bool keep_blocks);

template <class Real>
std::vector<double> doubles(const Numbers<Real>& values) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const Real& value : values) out.push_back(static_cast<double>(value));
  return out;
}

template <class Real>
void show(const Visitor& visit, std::string site, const Shape& shape, const Numbers<Real>& values) {
  if (visit) visit({std::move(site), shape, doubles(values)});
}

}  // namespace tplab::dense
