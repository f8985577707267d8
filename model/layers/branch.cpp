#include "model/layers/branch.h"

#include <type_traits>

#include "sim/error.h"

namespace tplab {

namespace {

struct Make {
  Loader& loader;
  Place at;
  std::variant<Attention, Mlp> operator()(const AttentionSpec& spec) const {
    return Attention(loader, spec, at);
  }
  std::variant<Attention, Mlp> operator()(const MlpSpec& spec) const {
    return Mlp(loader, spec, at);
  }
  std::variant<Attention, Mlp> operator()(const ExpertsSpec&) const {
    throw Error(ErrorKind::run, "experts reached a layer", "see model/layers/computed.h");
  }
};

}  // namespace

Branch::Branch(Loader& loader, const BranchSpec& spec, Place at)
    : what_(std::visit(Make{loader, at}, spec.what)), at_(at) {}

Tensor<Partial> Branch::forward(const Tensor<Replicated>& x, const Pass& pass, Saved* saved) const {
  return std::visit(
      [&](const auto& branch) {
        using Kept = typename std::remove_cvref_t<decltype(branch)>::Saved;
        return branch.forward(x, pass, saved ? &saved->template emplace<Kept>() : nullptr);
      },
      what_);
}

Grad<Replicated> Branch::backward(const Grad<Partial>& dy, const Tensor<Replicated>& x,
                                  const Pass& pass, const Saved& saved) const {
  return std::visit(
      [&](const auto& branch) {
        using Kept = typename std::remove_cvref_t<decltype(branch)>::Saved;
        return branch.backward(dy, x, pass, std::get<Kept>(saved));
      },
      what_);
}

ParameterId Branch::bias() const {
  const bool is_attention = std::holds_alternative<Attention>(what_);
  return bias_of(is_attention ? Role::attention_out : Role::down, at_);
}

std::string_view Branch::name() const {
  return std::holds_alternative<Attention>(what_) ? "attn" : "mlp";
}

}  // namespace tplab
