#include "model/attention.h"

namespace tplab {

namespace {

// To what the device takes: null for no dropout.
const DropoutMask* or_null(const std::optional<DropoutMask>& mask) {
  return mask ? &*mask : nullptr;
}

}  // namespace

template <class Residual>
Attention<Residual>::Attention(Loader& loader, Place at)
    : qkv_(loader.load<Varying>(weight_of(Role::q, at))),
      qkv_bias_(loader.load<Varying>(bias_of(Role::q, at))),
      proj_(loader.load<Varying>(weight_of(Role::attention_out, at))),
      proj_bias_(loader.load_small<Residual>(bias_of(Role::attention_out, at))),
      heads_(loader.plan().part(first_attention(loader.plan().architecture()).heads, 1,
                                loader.rank().index())),
      whole_heads_(first_attention(loader.plan().architecture()).heads),
      block_(at.block) {}

template <class Residual>
Tensor<Residual> Attention<Residual>::forward(Rank& rank, const Tensor<Residual>& x,
                                              const Pass& pass, Saved* saved) const {
  auto scope = rank.at("attn");
  Tensor<Replicated> in = S::read(x);                                              // [B, T, C]
  Tensor<Varying> qkv = watch("qkv", linear(in, qkv_.value, qkv_bias_.value), 3);  // [B, T, 3C/tp]
  Attended<Varying> heads;                                                         // [B, T, C/tp]
  if (pass.cache) {
    KvPair past = pass.cache->layer(block_);
    heads.y = cached_attention(qkv, heads_.size(), pass.cache->length(), past.keys, past.values);
  } else {
    const auto mask = pass.attention_mask(rank, heads_.begin, whole_heads_, qkv.shape()[1]);
    heads = causal_attention(qkv, heads_.size(), or_null(mask));
  }
  (void)watch("heads", heads.y);
  if (saved) *saved = {{x, in, pass.regather}, qkv, heads};
  Tensor<Residual> sum = S::write(matmul(heads.y, proj_.value));  // [B, T, C]
  return watch("proj", pass.drop(add(std::move(sum), S::param(proj_bias_.value))));
}

template <class Residual>
Grad<Residual> Attention<Residual>::backward(Rank& rank, const Grad<Residual>& dy, const Pass& pass,
                                             const Saved& saved) const {
  auto scope = rank.at("attn");
  const Grad<Residual> dout = pass.drop(dy);  // [B, T, C]
  bias_backward(dout, proj_bias_.grad);
  const Grad<Partial> dsum = S::write_backward(dout);  // [B, T, C]
  const Grad<Varying> dheads =                         // [B, T, C/tp]
      matmul_backward(dsum, saved.attended.y, proj_.value, proj_.grad);
  const auto mask = pass.attention_mask(rank, heads_.begin, whole_heads_, saved.qkv.shape()[1]);
  const Grad<Varying> dqkv =  // [B, T, 3C/tp]
      causal_attention_backward(dheads, saved.qkv, saved.attended, heads_.size(), or_null(mask));
  return S::read_backward(  // [B, T, C]
      linear_backward(dqkv, saved.input.read(), qkv_.value, qkv_.grad, qkv_bias_.grad));
}

template class Attention<Invariant>;
template class Attention<VaryingT>;

}  // namespace tplab
