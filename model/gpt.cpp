#include "model/gpt.h"

#include <fmt/format.h>

#include <algorithm>

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
BasicGpt<Residual>::BasicGpt(Rank& rank, const WeightSource& source, const ShardPlan& plan,
                             DType dtype, Purpose purpose)
    : BasicGpt(Loader(rank, source, plan, dtype, purpose)) {}

template <class Residual>
BasicGpt<Residual>::BasicGpt(Loader loader)
    : rank_(loader.rank()),
      plan_(loader.plan()),
      dtype_(loader.dtype()),
      embedding_(loader),
      blocks_(load_blocks(loader)),
      final_norm_(loader, Place{}),
      head_(plan_.architecture().tied_head ? embedding_.table()
                                           : loader.load<Varying>(weight_of(Role::head))),
      flat_(loader.flat()) {}

template <class Residual>
Tensor<Replicated> BasicGpt<Residual>::forward(const Tokens& tokens) const {
  return gathered_logits(stream(tokens, {}, nullptr));
}

template <class Residual>
Tensor<Replicated> BasicGpt<Residual>::next(
    const Tokens& tokens, KvCache& cache) const requires same<Residual, Invariant> {
  Tensor<Residual> x = stream(tokens, {.cache = &cache}, nullptr);
  cache.advance(tokens.length);
  return gathered_logits(last_position(x));
}

template <class Residual>
Tensor<Residual> BasicGpt<Residual>::stream(const Tokens& tokens, const Pass& pass,
                                            Tape* tape) const {
  const int64_t past = pass.cache ? pass.cache->length() : 0;
  check_tokens(tokens, past, architecture());
  Tensor<Residual> x = embedding_.forward(rank_, tokens, past, pass);  // [B, T, C]
  if (tape) tape->blocks.resize(blocks_.size());
  for (size_t i = 0; i < blocks_.size(); ++i)
    x = blocks_[i].forward(rank_, std::move(x), pass, tape ? &tape->blocks[i] : nullptr);
  if (tape) tape->last = x;
  return watch("ln_f", final_norm_.forward(x));
}

template <class Residual>
Tensor<Replicated> BasicGpt<Residual>::gathered_logits(const Tensor<Residual>& x) const {
  auto scope = rank_.at("head");
  Tensor<Varying> logits = matmul(S::read(x), head_.value);           // [B, T, V/tp]
  return watch("logits", gather(logits, architecture().vocabulary));  // [B, T, V]
}

template <class Residual>
double BasicGpt<Residual>::loss(const MicroBatch& batch, const Pass& pass, Tape* tape) const {
  check_targets(batch, architecture());
  const Tensor<Residual> x = stream(batch.tokens, pass, tape);
  auto scope = rank_.at("head");
  const Tensor<Replicated> in = S::read(x);
  CrossEntropy loss(matmul(in, head_.value), vocab_part(), {batch.targets, batch.weight});
  if (!tape) return loss.loss;
  tape->head_input = {x, in, pass.regather};
  tape->loss = std::move(loss);
  return tape->loss->loss;
}

template <class Residual>
void BasicGpt<Residual>::backward(const MicroBatch& batch, const Pass& pass, Tape tape) const {
  Grad<Residual> dx;  // [B, T, C]
  {
    auto scope = rank_.at("head");
    const Grad<Varying> dlogits =  // [B, T, V/tp]
        std::move(*tape.loss).backward(vocab_part(), {batch.targets, batch.weight});
    dx =
        S::read_backward(matmul_backward(dlogits, tape.head_input.read(), head_.value, head_.grad));
    (void)watch("grad", dx);
    tape.loss.reset();
    tape.head_input = {};
  }
  dx = final_norm_.backward(std::move(dx), tape.last);
  while (!tape.blocks.empty()) {
    const Block<Residual>& block = blocks_[tape.blocks.size() - 1];
    dx = block.backward(rank_, std::move(dx), pass, std::move(tape.blocks.back()));
    tape.blocks.pop_back();  // its memory serves the blocks before it
  }
  embedding_.backward(rank_, std::move(dx), batch.tokens, pass);
}

template <class Residual>
Gradients BasicGpt<Residual>::finish_gradients() const {
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
VocabPart BasicGpt<Residual>::vocab_part() const {
  const int64_t first = rank_.index() * plan_.vocab_local();
  return {first, std::clamp<int64_t>(architecture().vocabulary - first, 0, plan_.vocab_local())};
}

template <class Residual>
std::vector<Block<Residual>> BasicGpt<Residual>::load_blocks(Loader& loader) {
  std::vector<Block<Residual>> blocks;
  for (int64_t i = 0; i < loader.plan().architecture().layers(); ++i)
    blocks.emplace_back(loader, i);
  return blocks;
}

template class BasicGpt<Invariant>;
template class BasicGpt<VaryingT>;

}  // namespace tplab
