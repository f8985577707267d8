#include "model/layers/attention.h"

namespace tplab {

Attention::Attention(Loader& loader, const AttentionSpec& spec, Place at)
    : qkv_(loader.load<Varying>(weight_of(Role::q, at))),  // and k, v, which are joined to it
      qkv_bias_(loader.load<Varying>(bias_of(Role::q, at))),
      out_(loader.load<Varying>(weight_of(Role::attention_out, at))),
      spec_(spec),
      heads_(loader.plan().heads(spec, loader.rank().index())),
      at_(at) {}

Tensor<Partial> Attention::forward(const Tensor<Replicated>& x, const Pass& pass,
                                   Saved* saved) const {
  Tensor<Varying> qkv = show("qkv", linear(x, qkv_.value, qkv_bias_.value), 3);  // [B, T, 3C/tp]
  Attended<Varying> heads;                                                       // [B, T, C/tp]
  if (pass.cache) {
    const KvPair past = pass.cache->layer(at_.block);
    heads.y = cached_attention(form(pass, 0), qkv, pass.cache->past(), past.keys, past.values);
  } else {
    heads = causal_attention(form(pass, qkv.shape()[1]), qkv);
  }
  (void)show("heads", heads.y);
  if (saved) *saved = {qkv, heads};
  return matmul(heads.y, out_.value);  // [B, T, C]
}

Grad<Replicated> Attention::backward(const Grad<Partial>& dy, const Tensor<Replicated>& x,
                                     const Pass& pass, const Saved& saved) const {
  const Grad<Varying> dheads =  // [B, T, C/tp]
      matmul_backward(dy, saved.attended.y, out_.value, out_.grad);
  const Grad<Varying> dqkv =  // [B, T, 3C/tp]
      causal_attention_backward(form(pass, saved.qkv.shape()[1]), dheads, saved.qkv,
                                saved.attended);
  return linear_backward(dqkv, x, qkv_.value, qkv_.grad, qkv_bias_.grad);  // [B, T, C]
}

// length: of whole sequences, whose probabilities may be dropped
AttentionForm Attention::form(const Pass& pass, int64_t length) const {
  return {.heads = heads_.size(),
          .kv_heads = heads_.size(),
          .scale = spec_.scale,
          .mask = pass.attention_mask(dropout_key(at_, "attn"), heads_.begin, spec_.heads, length)};
}

}  // namespace tplab
