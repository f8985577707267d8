#include "model/attention.h"

#include "sim/collectives.h"
#include "sim/ops.h"

namespace tplab {

Attention::Attention(Loader& loader, const std::string& name)
    : qkv_(loader.load<Varying>(name + ".c_attn.weight")),
      qkv_bias_(loader.load<Varying>(name + ".c_attn.bias")),
      proj_(loader.load<Varying>(name + ".c_proj.weight")),
      proj_bias_(loader.load<Invariant>(name + ".c_proj.bias")),
      heads_local_(loader.plan().heads_local()),
      head_size_(loader.plan().config().head_size()) {}

Tensor<Invariant> Attention::forward(Rank& rank, const Tensor<Invariant>& x, KvCache* cache,
                                     int64_t layer) const {
  auto scope = rank.at("attn");
  Tensor<Varying> qkv = watch("qkv", linear(enter(x), qkv_, qkv_bias_), 3);  // [B, T, 3C/tp]
  KvPair kv = cache ? cache->layer(layer) : new_kv_pair(qkv, heads_local_, head_size_);
  const int64_t past = cache ? cache->length() : 0;
  Tensor<Varying> heads =
      watch("heads", attention(qkv, heads_local_, past, kv.keys, kv.values));  // [B, T, C/tp]
  return watch("proj", add(leave(matmul(heads, proj_)), proj_bias_));          // [B, T, C]
}

}  // namespace tplab
