#include "model/network.h"

#include <fmt/format.h>

#include <iterator>

#include "sim/collectives.h"
#include "sim/error.h"
#include "sim/ops.h"

namespace tplab {

namespace {

void check_tokens(const Tokens& tokens, int64_t past, const Architecture& architecture) {
  if (tokens.length < 1 || tokens.batch < 1) fail("there are no tokens", "give at least one");
  if (past + tokens.length > architecture.context)
    fail(fmt::format("{} tokens are more than the model's context of {}", past + tokens.length,
                     architecture.context),
         fmt::format("use at most {} tokens", architecture.context));
  for (int32_t id : tokens.ids) {
    if (id < 0 || id >= architecture.vocabulary)
      fail(fmt::format("token id {} is outside the vocabulary of {}", id, architecture.vocabulary),
           "use the tokenizer that belongs to this model");
  }
}

void check_targets(const MicroBatch& batch, const Architecture& architecture) {
  if (batch.targets.size() != batch.tokens.ids.size())
    fail(fmt::format("{} targets for {} tokens", batch.targets.size(), batch.tokens.ids.size()),
         "give a target for each token; -1 leaves one out");
  for (int32_t id : batch.targets) {
    if (id >= architecture.vocabulary)
      fail(fmt::format("target {} is outside the vocabulary of {}", id, architecture.vocabulary),
           "use the tokenizer that belongs to this model");
  }
}

}  // namespace

template <class Residual>
BasicNetwork<Residual>::BasicNetwork(Rank& rank, const WeightSource& source, const ShardPlan& plan,
                                     DType dtype, Purpose purpose)
    : BasicNetwork(Loader(rank, source, plan, dtype, purpose)) {}

template <class Residual>
BasicNetwork<Residual>::BasicNetwork(Loader loader)
    : rank_(loader.rank()),
      plan_(loader.plan()),
      dtype_(loader.dtype()),
      embedding_(loader),
      blocks_(load_blocks(loader)),
      final_norm_(loader, plan_.architecture().final_norm, Place{}),
      head_(loader, embedding_),
      flat_(loader.flat()) {}

template <class Residual>
Tensor<Replicated> BasicNetwork<Residual>::forward(const Tokens& tokens) const {
  return head_.logits(rank_, stream(tokens, {}, nullptr));
}

template <class Residual>
Tensor<Replicated> BasicNetwork<Residual>::next(
    const Tokens& tokens, KvCache& cache) const requires same<Residual, Invariant> {
  Tensor<Residual> x = stream(tokens, {.cache = &cache}, nullptr);
  cache.advance(tokens.length);
  return head_.logits(rank_, last_position(x));
}

template <class Residual>
Tensor<Replicated> BasicNetwork<Residual>::next_of(
    const Tensor<Invariant>& ids, KvCache& cache) const requires same<Residual, Invariant> {
  const Tokens none{ids.shape()[0], 1, {}};
  return head_.logits(rank_, stream(none, {.cache = &cache, .ids = &ids}, nullptr));
}

template <class Residual>
void BasicNetwork<Residual>::check(const Tokens& tokens, const KvCache& cache) const {
  check_tokens(tokens, cache.length(), architecture());
}

template <class Residual>
Tensor<Residual> BasicNetwork<Residual>::stream(const Tokens& tokens, const Pass& pass,
                                                Tape* tape) const {
  const int64_t past = pass.cache ? pass.cache->length() : 0;
  if (!pass.ids) check_tokens(tokens, past, architecture());
  Tensor<Residual> x =  // [B, T, C]
      embedding_.forward(rank_, tokens, past, pass, tape ? &tape->embedding : nullptr);
  if (tape) tape->blocks.resize(blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i)
    x = blocks_[i].forward(rank_, std::move(x), pass, tape ? &tape->blocks[i] : nullptr);
  if (tape) tape->last = x;
  return show("ln_f", final_norm_.forward(x));
}

template <class Residual>
void BasicNetwork<Residual>::add_loss(const MicroBatch& batch, const Pass& pass,
                                      const Tensor<Invariant>& total, Tape* tape) const {
  check_targets(batch, architecture());
  const Tensor<Residual> x = stream(batch.tokens, pass, tape);
  const Targets targets{ids_on_device(rank_, batch.targets, batch.tokens.shape()), batch.weight};
  head_.add_loss(rank_, x, targets, pass, total, tape ? &tape->head : nullptr);
}

template <class Residual>
void BasicNetwork<Residual>::backward(const Pass& pass, Tape tape) const {
  Grad<Residual> dx = head_.backward(rank_, std::move(tape.head));  // [B, T, C]
  dx = final_norm_.backward(std::move(dx), tape.last);
  while (!tape.blocks.empty()) {
    const Block<Residual>& block = blocks_[tape.blocks.size() - 1];
    dx = block.backward(rank_, std::move(dx), pass, std::move(tape.blocks.back()));
    tape.blocks.pop_back();  // its memory serves the blocks before it
  }
  embedding_.backward(rank_, std::move(dx), tape.embedding, pass);
}

template <class Residual>
Gradients BasicNetwork<Residual>::finish_gradients() const {
  const FlatLayout& layout = flat_.layout;
  const auto view = [&](int64_t begin, int64_t end) {
    return flat_.gradients.part(begin, Shape{end - begin});
  };
  const Range positions = layout.range(Region::whole_matrices),
              small = layout.range(Region::whole_vectors);
  auto scope = rank_.at("small gradients");
  Grad<typename S::Param> terms =
      assume_placement<Dual<typename S::Param>>(rank_, view(small.begin, small.end));
  const Grad<Invariant> sums = S::param_backward(terms);
  if (sums.array().data() !=
      terms.array().data())  // an all-reduce into a temporary (Megatron#5337)
    rank_.device().copy(sums.array().data(), terms.array().data(), sums.array().bytes());
  return {assume_placement<Varying>(rank_, view(0, positions.begin)),
          assume_placement<Invariant>(rank_, view(positions.begin, small.end))};
}

template <class Residual>
std::vector<Block<Residual>> BasicNetwork<Residual>::load_blocks(Loader& loader) {
  std::vector<Block<Residual>> blocks;
  for (const std::vector<JoinSpec>& joins : loader.plan().architecture().blocks)
    blocks.emplace_back(loader, joins, std::ssize(blocks));
  return blocks;
}

template class BasicNetwork<Invariant>;
template class BasicNetwork<VaryingT>;

}  // namespace tplab
