#include "model/layers/join.h"

#include <fmt/format.h>

#include "sim/ops.h"

namespace tplab {

template <class Residual>
Join<Residual>::Join(Loader& loader, const JoinSpec& spec, Place at, bool last)
    : before_(loader, spec.before.value(), at),
      norm_name_(fmt::format("ln_{}", at.join + 1)),
      result_name_(last ? "out" : "mid") {
  for (const BranchSpec& branch : spec.branches) {
    branches_.emplace_back(loader, branch, at);
    biases_.push_back(loader.load_small<Residual>(branches_.back().bias()));
    name_ += fmt::format("{}{}", name_.empty() ? "" : "+", branches_.back().name());
    ++at.branch;
  }
  key_ = dropout_key(at, name_);
  at.branch = 0;
  at.slot = NormSlot::after;
  if (spec.after) after_.emplace(loader, *spec.after, at);
}

template <class Residual>
Tensor<Residual> Join<Residual>::forward(Rank& rank, Tensor<Residual> x, const Pass& pass,
                                         Saved* saved) const {
  if (saved) saved->x = x;
  Tensor<Residual> y = branches(rank, show(norm_name_, before_.forward(x)), pass, saved);
  if (after_) {
    if (saved) saved->sum = y;
    y = show(norm_name_ + "_after", after_->forward(y));
  }
  return show(result_name_, add(std::move(y), std::move(x)));
}

template <class Residual>
Tensor<Residual> Join<Residual>::branches(Rank& rank, const Tensor<Residual>& x, const Pass& pass,
                                          Saved* saved) const {
  auto scope = rank.at(name_);
  const Tensor<Replicated> in = S::read(x);  // [B, T, C]
  if (saved) {
    saved->input = {x, in, pass.regather};
    saved->branches.resize(branches_.size());
  }
  Tensor<Partial> sum;  // [B, T, C]
  for (size_t i = 0; i < branches_.size(); ++i) {
    Tensor<Partial> term = branches_[i].forward(in, pass, saved ? &saved->branches[i] : nullptr);
    sum = i == 0 ? std::move(term) : add(std::move(sum), std::move(term));
  }
  Tensor<Residual> y = S::write(std::move(sum));  // [B, T, C]
  for (const SmallParameter<Residual>& bias : biases_) y = add(std::move(y), S::param(bias.value));
  return show("proj", pass.drop(std::move(y), key_));
}

template <class Residual>
Grad<Residual> Join<Residual>::backward(Rank& rank, Grad<Residual> dy, const Pass& pass,
                                        Saved saved) const {
  Grad<Residual> dx =
      branches_backward(rank, after_ ? after_->backward(dy, saved.sum) : dy, pass, saved);
  saved.branches.clear();  // their memory serves what follows
  saved.input = {};
  return add(before_.backward(std::move(dx), saved.x), std::move(dy));
}

template <class Residual>
Grad<Residual> Join<Residual>::branches_backward(Rank& rank, const Grad<Residual>& dy,
                                                 const Pass& pass, Saved& saved) const {
  auto scope = rank.at(name_);
  const Grad<Residual> dout = pass.drop(dy, key_);  // [B, T, C]
  for (const SmallParameter<Residual>& bias : biases_) bias_backward(dout, bias.grad);
  const Grad<Partial> dsum = S::write_backward(dout);  // [B, T, C]
  const Tensor<Replicated> in = saved.input.read();    // [B, T, C]
  Grad<Replicated> din;                                // [B, T, C], one term of a sum
  for (size_t i = branches_.size(); i-- > 0;) {
    Grad<Replicated> term = branches_[i].backward(dsum, in, pass, saved.branches[i]);
    saved.branches[i] = {};
    din = din.present() ? add(std::move(din), std::move(term)) : std::move(term);
  }
  return S::read_backward(std::move(din));  // [B, T, C]
}

template class Join<Invariant>;
template class Join<VaryingT>;

}  // namespace tplab
