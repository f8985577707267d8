#include "model/layers/embedding.h"

#include "model/layers/kv_cache.h"
#include "sim/ops.h"

namespace tplab {

namespace {

constexpr std::string_view kKey = "embed";  // of its dropout

std::vector<int32_t> positions_of(const Tokens& tokens, int64_t first) {  // [B, T]
  std::vector<int32_t> positions;
  for (int64_t b = 0; b < tokens.batch; ++b)
    for (int64_t t = 0; t < tokens.length; ++t)
      positions.push_back(static_cast<int32_t>(first + t));
  return positions;
}

// Of a single new position in a cache, the cache has them on the device.
Tensor<Invariant> positions_on_device(Rank& rank, const Tokens& tokens, int64_t first,
                                      const Pass& pass) {
  if (pass.cache && tokens.length == 1) {
    const Array& filled = pass.cache->past().filled.array();
    return assume_placement<Invariant>(rank, filled.reshaped(tokens.shape()));
  }
  return ids_on_device(rank, positions_of(tokens, first), tokens.shape());
}

}  // namespace

template <class Residual>
Embedding<Residual>::Embedding(Loader& loader)
    : wte_(loader.load<Varying>(weight_of(Role::token_embedding))),
      wpe_(loader.load<Invariant>(weight_of(Role::position_embedding))),
      first_row_(loader.rank().index() * loader.plan().vocab_local()) {}

template <class Residual>
Tensor<Residual> Embedding<Residual>::forward(Rank& rank, const Tokens& tokens,
                                              int64_t first_position, const Pass& pass,
                                              Saved* saved) const {
  auto scope = rank.at("embed");
  const Saved ids{
      pass.ids ? *pass.ids : ids_on_device(rank, tokens.ids, tokens.shape()),
      positions_on_device(rank, tokens, first_position, pass),
  };
  if (saved) *saved = ids;
  Tensor<Partial> mine = embedding(ids.tokens, wte_.value, first_row_);
  Tensor<Invariant> tok = show("tok", leave(std::move(mine)));  // [B, T, C], as all here
  Tensor<Invariant> pos = embedding(ids.positions, wpe_.value);
  Tensor<Invariant> x = show("out", add(std::move(tok), std::move(pos)));
  return pass.drop(S::begin(std::move(x)), kKey);
}

template <class Residual>
void Embedding<Residual>::backward(Rank& rank, Grad<Residual> dy, const Saved& saved,
                                   const Pass& pass) const {
  auto scope = rank.at("embed");
  const Grad<Invariant> dx =  // [B, T, C]
      show("grad", S::begin_backward(pass.drop(std::move(dy), kKey)));
  embedding_backward(saved.tokens, leave_backward(dx), wte_.value, wte_.grad, first_row_);
  embedding_backward(saved.positions, dx, wpe_.value, wpe_.grad);
}

template class Embedding<Invariant>;
template class Embedding<VaryingT>;

}  // namespace tplab
