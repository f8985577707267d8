#include "model/training/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "sim/error.h"
#include "sim/machine/rank_numbers.h"

namespace tplab {

namespace {

int64_t counted(const std::vector<int32_t>& targets) {
  return std::count_if(targets.begin(), targets.end(), [](int32_t id) { return id >= 0; });
}

// Sequences begin .. begin + count - 1.
MicroBatch sequences(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t begin,
                     int64_t count) {
  const int64_t T = tokens.length;
  MicroBatch part{{count, T, {}}, {}, 1.0 / static_cast<double>(counted(targets))};
  part.tokens.ids.assign(tokens.ids.begin() + begin * T, tokens.ids.begin() + (begin + count) * T);
  part.targets.assign(targets.begin() + begin * T, targets.begin() + (begin + count) * T);
  return part;
}

// The sites that a rank shows, up to the first with a number that is not finite.
class FirstNotFinite final : public Recorder {
 public:
  void shown(const Shown& tensor, Device& device) override {
    if (std::isfinite(bad)) return;
    sites.push_back(tensor.site);
    std::vector<double> values(static_cast<size_t>(tensor.array.count()));
    to_host(device, tensor.array, values);
    if (!std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }))
      bad = static_cast<double>(sites.size() - 1);
  }

  std::vector<std::string> sites;
  double bad = std::numeric_limits<double>::infinity();  // the last of them, if it is such a one
};

template <class Residual>
class TrainerOf final : public Trainer {
 public:
  TrainerOf(Rank& rank, const WeightSource& source, const TrainerOptions& options)
      : rank_(rank),
        options_(options),
        network_(
            rank, source,
            ShardPlan(source.architecture(), options.parallelism.tp, options.parallelism.uneven),
            options.dtype, Purpose::train),
        optimizer_(rank, network_.parameters(), source, network_.plan(), options.optimizer,
                   options.parallelism.zero) {}

  StepResult step(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t step,
                  double learning_rate) override {
    StepResult result;
    const Tensor<Invariant> loss = zero_loss();
    const Gradients local = micro_batches(tokens, targets, step, loss, result);
    int64_t then = rank_.clock().now_ns();
    std::optional<MeshGradients> sum;
    {
      auto during = rank_.during(Phase::backward);
      sum = sum_over_replicas(rank_, network_.parameters(), local, options_.parallelism.zero);
      result.backward_s += seconds_since(then);
    }
    auto during = rank_.during(Phase::optimizer);
    const Optimizer::Clipping clip = optimizer_.clipping(*sum, loss.array());
    optimizer_.step(*sum, clip, learning_rate, step + 1);
    // The host waits here, and nowhere before.
    result.loss = number_on_host(rank_.device(), loss.array());
    result.grad_norm = number_on_host(rank_.device(), clip.norm);
    if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm))
      explain_nan(tokens, targets, step, result);
    has_learned_ = true;
    result.optimizer_s = seconds_since(then);
    return result;
  }

  double gradients(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    StepResult result;
    const Tensor<Invariant> loss = zero_loss();
    const Gradients local = micro_batches(tokens, targets, 0, loss, result);
    auto during = rank_.during(Phase::backward);
    (void)sum_over_replicas(rank_, network_.parameters(), local, Zero::none);
    return number_on_host(rank_.device(), loss.array());
  }

  double evaluate(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    const int64_t dp = rank_.dp_size(), d = rank_.dp_index();
    const int64_t begin = tokens.batch * d / dp, end = tokens.batch * (d + 1) / dp;
    const Tensor<Invariant> loss = zero_loss();
    if (end > begin)
      network_.add_loss(sequences(tokens, targets, begin, end - begin), {}, loss, nullptr);
    sum_loss_over_replicas(loss);
    return number_on_host(rank_.device(), loss.array());
  }

  // Runs the forward pass once more, looking at every site. Ranks see the same sites in the same
  // order, each its own part of them: the first of all ranks is what they agree on.
  std::string first_not_finite(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    FirstNotFinite look;
    {
      auto recording = rank_.recorded_by(&look);
      (void)evaluate(tokens, targets);
    }
    const double first = least_of_ranks(rank_, look.bad);
    if (std::isinf(first)) return "no site of the forward pass: the loss or the backward pass";
    if (first >= static_cast<double>(look.sites.size())) return "a site of another replica";
    return look.sites[static_cast<size_t>(first)];
  }

  const ShardPlan& plan() const override { return network_.plan(); }
  const FlatParameters& parameters() const override { return network_.parameters(); }
  Optimizer& optimizer() override { return optimizer_; }

 private:
  Tensor<Invariant> zero_loss() {
    Array loss = rank_.device().allocate(DType::f64, Shape{1});
    rank_.device().zero(loss);
    return assume_placement<Invariant>(rank_, std::move(loss));
  }

  // Every micro-batch forward and backward; adds the loss, and fills the times.
  Gradients micro_batches(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t step,
                          const Tensor<Invariant>& loss, StepResult& result) {
    const Parallelism& how = options_.parallelism;
    how.check_batch(tokens.batch, tokens.length);
    const int64_t each = how.micro_batch(tokens.batch);
    int64_t then = rank_.clock().now_ns();
    Array all = network_.parameters().gradients;
    rank_.device().zero(all);
    for (int64_t i = 0; i < how.accumulation; ++i) {
      const int64_t first = (i * how.dp + rank_.dp_index()) * each;
      const MicroBatch batch = sequences(tokens, targets, first, each);
      const Dropout dropout{options_.dropout, options_.seed, step, first};
      const Pass pass{.dropout = options_.dropout > 0 ? &dropout : nullptr,
                      .regather = how.regather,
                      .recompute = how.recompute};
      const int64_t before = rank_.device().memory().current_bytes;
      typename BasicNetwork<Residual>::Tape tape;
      network_.add_loss(batch, pass, loss, &tape);
      result.activation_bytes = rank_.device().memory().current_bytes - before;
      result.forward_s += seconds_since(then);
      auto during = rank_.during(Phase::backward);
      network_.backward(pass, std::move(tape));
      result.backward_s += seconds_since(then);
    }
    auto during = rank_.during(Phase::backward);
    sum_loss_over_replicas(loss);
    Gradients gradients = network_.finish_gradients();
    result.backward_s += seconds_since(then);
    return gradients;
  }

  // share: [1], f64, of a mean, which the sum over replicas replaces.   comm: 1 all-reduce over dp
  void sum_loss_over_replicas(const Tensor<Invariant>& share) {
    auto scope = rank_.at("mean loss");
    Array sum = share.array();
    rank_.dp_comm().all_reduce(sum);
  }

  [[noreturn]] void explain_nan(const Tokens& tokens, const std::vector<int32_t>& targets,
                                int64_t step, const StepResult& result) {
    fail(fmt::format("step {}: the {} is not a finite number; first at {}", step,
                     std::isfinite(result.loss) ? "gradients' norm" : "loss",
                     first_not_finite(tokens, targets)),
         has_learned_ ? kLearnMoreSlowly
                      : "its first weights are too large for this: train in --dtype f64, or begin "
                        "with others");
  }

  double seconds_since(int64_t& last_ns) const {
    const int64_t now = rank_.clock().now_ns(), before = std::exchange(last_ns, now);
    return static_cast<double>(now - before) * 1e-9;
  }

  Rank& rank_;
  TrainerOptions options_;
  BasicNetwork<Residual> network_;
  Optimizer optimizer_;
  bool has_learned_ = false;  // a step, since it was made
};

}  // namespace

void check_options(const TrainerOptions& options) {
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail(fmt::format("a dropout of {} is no rate", options.dropout), "use 0 or more and below 1");
  options.parallelism.check();
}

std::unique_ptr<Trainer> make_trainer(Rank& rank, const WeightSource& source,
                                      const TrainerOptions& options) {
  check_options(options);
  const Parallelism& how = options.parallelism;
  if (how.tp != rank.size() || how.dp != rank.dp_size())
    fail(fmt::format("a trainer for {} on a mesh of tp {}, dp {}", how.text(), rank.size(),
                     rank.dp_size()),
         "give its parallelism the tp and dp of the World");
  if (how.sp) return std::make_unique<TrainerOf<VaryingT>>(rank, source, options);
  return std::make_unique<TrainerOf<Invariant>>(rank, source, options);
}

}  // namespace tplab
