// What a join adds to the residual stream: attention, or an MLP.
//
// Every branch is Replicated -> Partial, forward and backward: it reads the whole stream by this
// rank's features, and gives one term of a sum over the ranks. So a branch communicates nothing and
// knows nothing of sequence parallelism; the join around it reads and writes the stream.
//   source: Shoeybi et al. 2019, section 3
#pragma once

#include <variant>

#include "model/layers/attention.h"
#include "model/layers/mlp.h"

namespace tplab {

class Branch {
 public:
  Branch(Loader& loader, const BranchSpec& spec, Place at);

  using Saved = std::variant<std::monostate, Attention::Saved, Mlp::Saved>;

  // x: [B, T, C]   ->   [B, T, C], one term of a sum. Fills `saved` unless it is null.
  Tensor<Partial> forward(const Tensor<Replicated>& x, const Pass& pass, Saved* saved) const;
  // x: what forward read.   ->   [B, T, C], one term of the gradient of x
  Grad<Replicated> backward(const Grad<Partial>& dy, const Tensor<Replicated>& x, const Pass& pass,
                            const Saved& saved) const;

  // The parameter that is added once, to the sum.
  ParameterId bias() const;
  std::string_view name() const;  // of its site: "attn", "mlp"

 private:
  std::variant<Attention, Mlp> what_;
  Place at_;
};

}  // namespace tplab
