#include "model/gpt.h"

#include <fmt/format.h>

#include "sim/collectives.h"
#include "sim/error.h"
#include "sim/ops.h"

namespace tplab {

namespace {

void check_tokens(const Tokens& tokens, int64_t past, const GptConfig& config) {
  if (tokens.length < 1 || tokens.batch < 1) fail("there are no tokens", "give at least one");
  if (past + tokens.length > config.block_size)
    fail(fmt::format("{} tokens are more than the model's context of {}", past + tokens.length,
                     config.block_size),
         fmt::format("use at most {} tokens", config.block_size));
  for (int32_t id : tokens.ids) {
    if (id < 0 || id >= config.vocab_size)
      fail(fmt::format("token id {} is outside the vocabulary of {}", id, config.vocab_size),
           "use the tokenizer that belongs to this model");
  }
}

}  // namespace

Gpt::Gpt(Rank& rank, const WeightSource& source, const ShardPlan& plan, DType dtype)
    : Gpt(Loader(rank, source, plan, dtype)) {}

Gpt::Gpt(Loader loader)
    : rank_(loader.rank()),
      plan_(loader.plan()),
      dtype_(loader.dtype()),
      embedding_(loader),
      blocks_(load_blocks(loader)),
      final_norm_(loader, "transformer.ln_f"),
      head_(plan_.config().tied_head ? embedding_.table()
                                     : loader.load<Varying>("lm_head.weight")) {}

Tensor<Replicated> Gpt::forward(const Tokens& tokens) const {
  return head(stream(tokens, nullptr));
}

Tensor<Replicated> Gpt::next(const Tokens& tokens, KvCache& cache) const {
  Tensor<Invariant> x = stream(tokens, &cache);
  cache.advance(tokens.length);
  return head(last_position(x));
}

Tensor<Invariant> Gpt::stream(const Tokens& tokens, KvCache* cache) const {
  const int64_t past = cache ? cache->length() : 0;
  check_tokens(tokens, past, config());
  Tensor<Invariant> x = embedding_.forward(rank_, tokens, past);  // [B, T, C]
  for (const Block& block : blocks_) x = block.forward(rank_, std::move(x), cache);
  return watch("ln_f", final_norm_.forward(x));
}

Tensor<Replicated> Gpt::head(const Tensor<Invariant>& x) const {
  auto scope = rank_.at("head");
  Tensor<Varying> logits = matmul(enter(x), head_);             // [B, T, V/tp]
  return watch("logits", gather(logits, config().vocab_size));  // [B, T, V]
}

std::vector<Block> Gpt::load_blocks(Loader& loader) {
  std::vector<Block> blocks;
  for (int64_t i = 0; i < loader.plan().config().n_layer; ++i) blocks.emplace_back(loader, i);
  return blocks;
}

}  // namespace tplab
