// The table of anchors: where each kind of step is written, and why it is there.
#include "viz/explore/anchors.h"

namespace tplab::explore {

namespace {

constexpr Phase kForward = Phase::forward, kBackward = Phase::backward;

// The functions that steps come from.
constexpr std::string_view kEmbedding = "model/layers/embedding.cpp",
                           kBlock = "model/layers/block.cpp", kJoin = "model/layers/join.cpp",
                           kAttention = "model/layers/attention.cpp", kMlp = "model/layers/mlp.cpp",
                           kHead = "model/layers/head.cpp", kNetwork = "model/network.cpp",
                           kLoss = "model/layers/loss.cpp";
constexpr std::string_view kEmbed = "> Embedding<Residual>::forward(",
                           kEmbedBack = "void Embedding<Residual>::backward(",
                           kBlockBack = "> Block<Residual>::backward(",
                           kAdd = "> Join<Residual>::forward(",
                           kBranches = "> Join<Residual>::branches(",
                           kBranchesBack = "> Join<Residual>::branches_backward(",
                           kAttend = "> Attention::forward(", kMlpForward = "> Mlp::forward(",
                           kStream = "> BasicNetwork<Residual>::stream(",
                           kHeadLoss = "double Head<Residual>::loss(",
                           kHeadBack = "> Head<Residual>::backward(",
                           kFinish = "Gradients BasicNetwork<Residual>::finish_gradients(",
                           kCrossEntropy = "CrossEntropy::CrossEntropy(";

}  // namespace

const std::vector<Anchor>& anchors() {
  static const std::vector<Anchor> table = {
      // Forward.
      {"embed", kForward, "all_reduce", 0, kEmbedding, kEmbed, "leave(std::move(mine))",
       "Each rank has the rows of its part of the vocabulary, and zeros for the tokens that are "
       "not its own. The sum over the ranks is every token's row, and every rank needs it."},
      {"embed", kForward, "tok", 0, kEmbedding, kEmbed, "show(\"tok\"",
       "The tokens' rows of the embedding table, whole: the same on every rank."},
      {"embed", kForward, "out", 0, kEmbedding, kEmbed, "show(\"out\"",
       "Plus the positions' rows. That table is small, so every rank has all of it and nothing is "
       "sent. Sequence parallelism then lets each rank keep only its own positions: a local "
       "slice."},
      {"block", kForward, "ln_1", 0, kJoin, kAdd, "show(norm_name_, ",
       "A layer norm needs all features of a position and nothing of other positions. So it works "
       "on a whole stream and on one split by positions, but not on one split by features."},
      {"attn", kForward, "all_gather", 0, kJoin, kBranches, "S::read(x)",
       "Each rank has its own positions, but its heads attend to all of them: every rank collects "
       "the others' positions. Together with the reduce-scatter below it costs what one "
       "all-reduce does."},
      {"attn", kForward, "qkv", 0, kAttention, kAttend, "show(\"qkv\"",
       "The weights are split by output features, head by head: each rank computes the queries, "
       "keys and values of its own heads from the whole input. Nothing is sent."},
      {"attn", kForward, "heads", 0, kAttention, kAttend, "show(\"heads\"",
       "Heads do not look at one another, so each rank attends with its own heads alone."},
      {"attn", kForward, "all_reduce", 0, kJoin, kBranches, "S::write(",
       "The projection's weights are split by input features: each rank multiplies the features "
       "that it has, and gets one term of a sum. The ranks add their terms up. The bias comes "
       "after "
       "the sum, or it would be added once a rank."},
      {"attn", kForward, "reduce_scatter", 0, kJoin, kBranches, "S::write(",
       "The projection gives each rank one term of a sum. The ranks add the terms up, and each "
       "keeps only its own positions of the sum: half of an all-reduce, for half its bytes."},
      {"attn", kForward, "proj", 0, kJoin, kBranches, "show(\"proj\"",
       "The sum, plus the bias once."},
      {"block", kForward, "mid", 0, kJoin, kAdd, "show(result_name_, ",
       "Attention's result is added to the residual stream. Both are placed alike, so each rank "
       "adds what it has."},
      {"block", kForward, "ln_2", 0, kJoin, kAdd, "show(norm_name_, ",
       "The second norm, as the first: position by position."},
      {"mlp", kForward, "all_gather", 0, kJoin, kBranches, "S::read(x)",
       "The perceptron's weights are split by features, so each rank needs every position of its "
       "input: the ranks collect one another's positions."},
      {"mlp", kForward, "fc", 0, kMlp, kMlpForward, "show(\"fc\"",
       "The first matrix is split by output features: each rank computes its own part of the wide "
       "hidden layer, from the whole input."},
      {"mlp", kForward, "gelu", 0, kMlp, kMlpForward, "show(\"gelu\"",
       "gelu acts on one number at a time, so each rank does its own features. This is why the "
       "first matrix is split by outputs: the sum comes after what is not linear."},
      {"mlp", kForward, "all_reduce", 0, kJoin, kBranches, "S::write(",
       "The second matrix is split by input features, and each rank has just those: one term of "
       "the sum a rank, added up over the ranks."},
      {"mlp", kForward, "reduce_scatter", 0, kJoin, kBranches, "S::write(",
       "One term of the sum a rank. The ranks add them up, and each keeps its own positions."},
      {"mlp", kForward, "proj", 0, kJoin, kBranches, "show(\"proj\"",
       "The sum, plus the bias once."},
      {"block", kForward, "out", 0, kJoin, kAdd, "show(result_name_, ",
       "The perceptron's result is added to the residual stream: the block is done."},
      {"", kForward, "ln_f", 0, kNetwork, kStream, "show(\"ln_f\"",
       "The last norm, before the stream meets the vocabulary."},
      {"head", kForward, "all_gather", 0, kHead, kHeadLoss, "S::read(x)",
       "Each rank has its part of the vocabulary and computes the logits of every position for it: "
       "it needs all positions."},
      {"loss", kForward, "largest", 0, kLoss, kCrossEntropy, "max_over_ranks(",
       "The logits stay where they are, a part of the vocabulary on each rank. For a safe softmax "
       "the ranks agree on each position's largest logit: one number a position."},
      {"loss", kForward, "all_reduce", 0, kLoss, kCrossEntropy, "wanted = leave(",
       "The logit of the wanted token. One rank has it, the others give zero, so the sum is it."},
      {"loss", kForward, "all_reduce", 1, kLoss, kCrossEntropy, "sums = leave(",
       "The softmax' denominator: each rank sums the exponentials of its part of the vocabulary. "
       "Three numbers a position were sent in all, instead of the whole vocabulary."},
      // Backward.
      {"head", kBackward, "all_reduce", 0, kHead, kHeadBack, "S::read_backward(",
       "Every rank read the stream for its part of the vocabulary, so each has one term of the "
       "stream's gradient. They are added up: what cost nothing forward costs an all-reduce "
       "backward."},
      {"head", kBackward, "reduce_scatter", 0, kHead, kHeadBack, "S::read_backward(",
       "Forward an all-gather, backward a reduce-scatter: the terms are added up, and each rank "
       "keeps the gradient of its own positions."},
      {"head", kBackward, "grad", 0, kHead, kHeadBack, "show(\"grad\"",
       "The gradient of the loss by what the head read."},
      {"mlp", kBackward, "all_gather", 0, kJoin, kBranchesBack, "S::write_backward(dout)",
       "Forward a reduce-scatter, backward an all-gather: the weights' gradients need every "
       "position of this one."},
      {"mlp", kBackward, "all_reduce", 0, kJoin, kBranchesBack, "S::read_backward(",
       "Each rank sent the gradient back through its own features and has one term of the input's "
       "gradient. The ranks add them up."},
      {"mlp", kBackward, "reduce_scatter", 0, kJoin, kBranchesBack, "S::read_backward(",
       "One term of the input's gradient a rank, added up; each rank keeps its own positions."},
      {"attn", kBackward, "all_gather", 0, kJoin, kBranchesBack, "S::write_backward(dout)",
       "Forward a reduce-scatter, backward an all-gather: each rank's heads need the gradient of "
       "every position."},
      {"attn", kBackward, "all_reduce", 0, kJoin, kBranchesBack, "S::read_backward(",
       "Each rank's heads give one term of the input's gradient. The ranks add them up."},
      {"attn", kBackward, "reduce_scatter", 0, kJoin, kBranchesBack, "S::read_backward(",
       "Each rank's heads give one term of the input's gradient; added up, and each rank keeps its "
       "own positions."},
      {"block", kBackward, "grad", 0, kBlock, kBlockBack, "show(\"grad\"",
       "The gradient of what the block was given: through attention, and past it on the residual "
       "stream."},
      {"embed", kBackward, "all_gather", 0, kEmbedding, kEmbedBack, "S::begin_backward(",
       "Each rank holds other rows of the embedding table, and any position may have used them: "
       "the ranks collect the gradient of all positions."},
      {"embed", kBackward, "grad", 0, kEmbedding, kEmbedBack, "show(\"grad\"",
       "The gradient at the embedding. Each rank adds it to the rows of the tokens that are its "
       "own; nothing is sent."},
      {"small gradients", kBackward, "all_reduce", 0, kNetwork, kFinish, "S::param_backward(terms)",
       "Norms and biases on the stream are whole on every rank, but each rank saw only its "
       "positions and has one term of their gradients. All of them together are summed once a "
       "step."},
  };
  return table;
}

}  // namespace tplab::explore
