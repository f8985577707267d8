#include "viz/explore/reasons.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab::explore {

namespace {

constexpr Phase kForward = Phase::forward, kBackward = Phase::backward;

std::string last_scope(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
  return last.starts_with("block ") ? "block" : last;
}

// What the table calls a step.
struct Key {
  std::string module, what;
};

Key key_of(const Step& step) {
  if (step.op)
    return {last_scope(step.site), step.largest ? "largest" : std::string(name(*step.op))};
  const size_t slash = step.site.rfind('/');
  if (slash == std::string::npos) return {"", step.site};
  return {last_scope(step.site.substr(0, slash)), step.site.substr(slash + 1)};
}

}  // namespace

const std::vector<Reason>& reasons() {
  static const std::vector<Reason> table = {
      // Forward.
      {"embed", kForward, "all_reduce", 0,
       "Each rank has the rows of its part of the vocabulary, and zeros for the tokens that are "
       "not its own. The sum over the ranks is every token's row, and every rank needs it."},
      {"embed", kForward, "tok", 0,
       "The tokens' rows of the embedding table, whole: the same on every rank."},
      {"embed", kForward, "out", 0,
       "Plus the positions' rows. That table is small, so every rank has all of it and nothing is "
       "sent. Sequence parallelism then lets each rank keep only its own positions: a local "
       "slice."},
      {"block", kForward, "ln_1", 0,
       "A layer norm needs all features of a position and nothing of other positions. So it works "
       "on a whole stream and on one split by positions, but not on one split by features."},
      {"attn", kForward, "all_gather", 0,
       "Each rank has its own positions, but its heads attend to all of them: every rank collects "
       "the others' positions. Together with the reduce-scatter below it costs what one "
       "all-reduce does."},
      {"attn", kForward, "qkv", 0,
       "The weights are split by output features, head by head: each rank computes the queries, "
       "keys and values of its own heads from the whole input. Nothing is sent."},
      {"attn", kForward, "heads", 0,
       "Heads do not look at one another, so each rank attends with its own heads alone."},
      {"attn", kForward, "all_reduce", 0,
       "The projection's weights are split by input features: each rank multiplies the features "
       "that it has, and gets one term of a sum. The ranks add their terms up. The bias comes "
       "after the sum, or it would be added once a rank."},
      {"attn", kForward, "reduce_scatter", 0,
       "The projection gives each rank one term of a sum. The ranks add the terms up, and each "
       "keeps only its own positions of the sum: half of an all-reduce, for half its bytes."},
      {"attn", kForward, "proj", 0, "The sum, plus the bias once."},
      {"block", kForward, "mid", 0,
       "Attention's result is added to the residual stream. Both are placed alike, so each rank "
       "adds what it has."},
      {"block", kForward, "ln_2", 0, "The second norm, as the first: position by position."},
      {"mlp", kForward, "all_gather", 0,
       "The perceptron's weights are split by features, so each rank needs every position of its "
       "input: the ranks collect one another's positions."},
      {"mlp", kForward, "fc", 0,
       "The first matrix is split by output features: each rank computes its own part of the wide "
       "hidden layer, from the whole input."},
      {"mlp", kForward, "gelu", 0,
       "gelu acts on one number at a time, so each rank does its own features. This is why the "
       "first matrix is split by outputs: the sum comes after what is not linear."},
      {"mlp", kForward, "all_reduce", 0,
       "The second matrix is split by input features, and each rank has just those: one term of "
       "the sum a rank, added up over the ranks."},
      {"mlp", kForward, "reduce_scatter", 0,
       "One term of the sum a rank. The ranks add them up, and each keeps its own positions."},
      {"mlp", kForward, "proj", 0, "The sum, plus the bias once."},
      {"block", kForward, "out", 0,
       "The perceptron's result is added to the residual stream: the block is done."},
      {"", kForward, "ln_f", 0, "The last norm, before the stream meets the vocabulary."},
      {"head", kForward, "all_gather", 0,
       "Each rank has its part of the vocabulary and computes the logits of every position for it: "
       "it needs all positions."},
      {"loss", kForward, "largest", 0,
       "The logits stay where they are, a part of the vocabulary on each rank. For a safe softmax "
       "the ranks agree on each position's largest logit: one number a position."},
      {"loss", kForward, "all_reduce", 0,
       "The logit of the wanted token. One rank has it, the others give zero, so the sum is it."},
      {"loss", kForward, "all_reduce", 1,
       "The softmax' denominator: each rank sums the exponentials of its part of the vocabulary. "
       "Three numbers a position were sent in all, instead of the whole vocabulary."},
      // Backward.
      {"head", kBackward, "all_reduce", 0,
       "Every rank read the stream for its part of the vocabulary, so each has one term of the "
       "stream's gradient. They are added up: what cost nothing forward costs an all-reduce "
       "backward."},
      {"head", kBackward, "reduce_scatter", 0,
       "Forward an all-gather, backward a reduce-scatter: the terms are added up, and each rank "
       "keeps the gradient of its own positions."},
      {"head", kBackward, "grad", 0, "The gradient of the loss by what the head read."},
      {"mlp", kBackward, "all_gather", 0,
       "Forward a reduce-scatter, backward an all-gather: the weights' gradients need every "
       "position of this one."},
      {"mlp", kBackward, "all_reduce", 0,
       "Each rank sent the gradient back through its own features and has one term of the input's "
       "gradient. The ranks add them up."},
      {"mlp", kBackward, "reduce_scatter", 0,
       "One term of the input's gradient a rank, added up; each rank keeps its own positions."},
      {"attn", kBackward, "all_gather", 0,
       "Forward a reduce-scatter, backward an all-gather: each rank's heads need the gradient of "
       "every position."},
      {"attn", kBackward, "all_reduce", 0,
       "Each rank's heads give one term of the input's gradient. The ranks add them up."},
      {"attn", kBackward, "reduce_scatter", 0,
       "Each rank's heads give one term of the input's gradient; added up, and each rank keeps its "
       "own positions."},
      {"block", kBackward, "grad", 0,
       "The gradient of what the block was given: through attention, and past it on the residual "
       "stream."},
      {"embed", kBackward, "all_gather", 0,
       "Each rank holds other rows of the embedding table, and any position may have used them: "
       "the ranks collect the gradient of all positions."},
      {"embed", kBackward, "grad", 0,
       "The gradient at the embedding. Each rank adds it to the rows of the tokens that are its "
       "own; nothing is sent."},
      {"small gradients", kBackward, "all_reduce", 0,
       "Norms and biases on the stream are whole on every rank, but each rank saw only its "
       "positions and has one term of their gradients. All of them together are summed once a "
       "step."},
  };
  return table;
}

const Reason& reason_of(const std::vector<Step>& steps, size_t i) {
  const Step& step = steps.at(i);
  const Key key = key_of(step);
  int nth = 0;
  for (size_t j = 0; j < i; ++j)
    nth += steps[j].site == step.site && steps[j].phase == step.phase && steps[j].op == step.op &&
           steps[j].largest == step.largest;
  for (const Reason& reason : reasons())
    if (reason.module == key.module && reason.phase == step.phase && reason.what == key.what &&
        reason.nth == nth)
      return reason;
  throw Error(ErrorKind::run,
              fmt::format("explore: no reason for {} {} at '{}' ({})", key.what, nth + 1, step.site,
                          name(step.phase)),
              "add it to viz/explore/reasons.cpp");
}

}  // namespace tplab::explore
