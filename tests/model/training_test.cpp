// A training run is the same on every mesh, and stops where numbers are no numbers.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/error.h"
#include "tests/model/training_runs.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

struct Curve {
  std::vector<double> losses, norms;
};

// Of `steps` steps; checks that all ranks have the same numbers, bit for bit.
Curve curve(const Run& run, int64_t steps = 20, const GptConfig& config = kSmall) {
  std::vector<Curve> of_rank(static_cast<size_t>(run.how().mesh().ranks()));
  on_mesh(*small_weights(config), run, [&](Rank& rank, Trainer& trainer) {
    Curve& mine = of_rank[static_cast<size_t>(rank.global_index())];
    for (int64_t i = 0; i < steps; ++i) {
      const StepBatch batch = batch_of_step(i);
      const StepResult result = trainer.step(batch.tokens, batch.targets, i, 1e-3);
      mine.losses.push_back(result.loss);
      mine.norms.push_back(result.grad_norm);
    }
  });
  for (const Curve& other : of_rank) {
    CHECK(other.losses == of_rank[0].losses);
    CHECK(other.norms == of_rank[0].norms);
  }
  return of_rank[0];
}

// The largest difference of the two, relative; NaN if there is one.
double distance(const Curve& a, const Curve& b) {
  double largest = 0;
  for (size_t i = 0; i < a.losses.size(); ++i)
    for (double d : {a.losses[i] / b.losses[i] - 1, a.norms[i] / b.norms[i] - 1})
      if (!(std::abs(d) <= largest)) largest = std::abs(d);
  return largest;
}

std::string message(const std::function<void()>& f, ErrorKind kind) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    CHECK(!error.fix().empty());
    return error.problem();
  }
  FAIL("was accepted");
  return "";
}

// small_weights(), of which one number of one parameter is NaN, in the last rank's part of it.
class OneNan : public WeightSource {
 public:
  explicit OneNan(std::string parameter) : parameter_(std::move(parameter)) {}
  const Architecture& architecture() const override { return honest_->architecture(); }
  std::string description() const override { return "one NaN"; }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    honest_->read(parameter, slice, out);
    if (parameter != parameter_) return;
    for (const NamedTensor& p : named_tensors(kSmall))
      if (p.name == parameter && slice.rows.back().end != p.shape[0]) return;
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      static_cast<Real*>(out.data)[3] = std::numeric_limits<Real>::quiet_NaN();
    });
  }

 private:
  std::unique_ptr<WeightSource> honest_ = small_weights();
  std::string parameter_;
};

// small_weights(), untied, of which two numbers make the logit of `id` -inf in f32.
class LargeLogit : public WeightSource {
 public:
  LargeLogit(const GptConfig& config, int64_t id) : honest_(small_weights(config)), id_(id) {}
  const Architecture& architecture() const override { return honest_->architecture(); }
  std::string description() const override { return "a large logit"; }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    honest_->read(parameter, slice, out);
    if (parameter == "transformer.ln_f.bias") set(out, 0, 1e20);
    int64_t row = 0;  // of `out`
    if (parameter == "lm_head.weight")
      for (const Range& rows : slice.rows) {
        if (rows.begin <= id_ && id_ < rows.end)
          set(out, (row + id_ - rows.begin) * slice.cols.size(), -1e20);
        row += rows.size();
      }
  }

 private:
  static void set(HostSpan out, int64_t i, double value) {
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      static_cast<Real*>(out.data)[i] = static_cast<Real>(value);
    });
  }

  std::unique_ptr<WeightSource> honest_;
  int64_t id_;
};

}  // namespace

// In f64 meshes differ in the order of sums alone: about 1e-16 a step relative to the loss, times
// what a step makes of it. 1e-12 leaves a factor of thousands; the least bug is 1e-4 (see below).
constexpr double kSame = 1e-12;

TEST_CASE("trainer: 20 steps are the same on every mesh", "[slow]") {
  const Curve one = curve({"", {.dtype = DType::f64}});
  CHECK(one.losses.back() < one.losses.front());
  for (const Run& run : every_mesh({.dtype = DType::f64})) {
    INFO(run.text);
    CHECK(distance(curve(run), one) <= kSame);
  }
}

TEST_CASE("trainer: 20 steps with dropout are the same on every mesh, masks being of the index",
          "[slow]") {
  const TrainerOptions options{.dtype = DType::f64, .dropout = 0.2};
  const Curve one = curve({"", options});
  for (const Run& run : every_mesh(options)) {
    INFO(run.text);
    CHECK(distance(curve(run), one) <= kSame);
  }
  CHECK(distance(curve({"", {.dtype = DType::f64}}), one) > 1e-4);  // it drops something
}

TEST_CASE("trainer: ranks with unequal numbers of heads train the same, dropout included") {
  const TrainerOptions options{.dtype = DType::f64, .dropout = 0.2};
  const Curve one = curve({"", options}, 5, kUneven);
  for (const Run& run : every_mesh(options)) {
    if (run.how().tp != 4) continue;
    INFO(run.text);
    CHECK(distance(curve(run, 5, kUneven), one) <= kSame);
  }
}

TEST_CASE("trainer: one rank with other masks shows in the loss") {
  const TrainerOptions options{
      .dtype = DType::f64, .parallelism = {.tp = 2, .sp = true}, .dropout = 0.2};
  const Curve one = curve({"", {.dtype = DType::f64, .dropout = 0.2}}, 2);
  const auto loss_with = [&](uint64_t seed_of_rank_1) {
    const auto source = small_weights();
    double loss = 0;
    World({.tp = 2}).run([&](Rank& rank) {
      TrainerOptions mine = options;
      if (rank.index() == 1) mine.seed = seed_of_rank_1;
      const auto trainer = make_trainer(rank, *source, mine);
      const StepBatch batch = batch_of_step(0);
      const double of_step = trainer->step(batch.tokens, batch.targets, 0, 1e-3).loss;
      if (rank.index() == 0) loss = of_step;
    });
    return loss;
  };
  CHECK(std::abs(loss_with(options.seed) / one.losses[0] - 1) <= kSame);
  CHECK(std::abs(loss_with(options.seed + 1) / one.losses[0] - 1) > 1e-4);
}

TEST_CASE("trainer: two micro-batches are one batch, dropout included") {
  for (double dropout : {0.0, 0.2}) {
    const TrainerOptions whole{.dtype = DType::f64, .dropout = dropout};
    TrainerOptions halves = whole;
    for (int64_t accumulation : {2, 4}) {
      halves.parallelism.accumulation = accumulation;
      CHECK(distance(curve({"", halves}), curve({"", whole})) <= kSame);
    }
  }
}

TEST_CASE("trainer: masks differ from step to step") {
  const auto source = small_weights();
  on_mesh(*source, {"", {.dtype = DType::f64, .dropout = 0.2}}, [&](Rank&, Trainer& trainer) {
    const StepBatch batch = batch_of_step(0);
    // A learning rate of 0: the weights stay, so only the masks can change the loss.
    const double first = trainer.step(batch.tokens, batch.targets, 0, 0).loss;
    CHECK(trainer.step(batch.tokens, batch.targets, 0, 0).loss == first);
    CHECK(std::abs(trainer.step(batch.tokens, batch.targets, 1, 0).loss / first - 1) > 1e-4);
  });
}

TEST_CASE("trainer: an evaluation is the loss without dropout, shared out over replicas") {
  const auto source = small_weights();
  const auto loss = [&](const Run& run, bool evaluated) {
    double value = 0;
    on_mesh(*source, run, [&](Rank& rank, Trainer& trainer) {
      StepBatch batch = batch_of_step(0);
      if (evaluated) {  // three sequences do not divide by two replicas
        batch.tokens.batch = 3;
        batch.tokens.ids.resize(24);
        batch.targets.resize(24);
      }
      const double mine = trainer.evaluate(batch.tokens, batch.targets);
      if (rank.global_index() == 0) value = mine;
    });
    return value;
  };
  for (const bool three : {false, true}) {
    const double one = loss({"", {.dtype = DType::f64}}, three);
    TrainerOptions other{.dtype = DType::f64,
                         .parallelism = {.tp = 2, .dp = 2, .sp = true, .zero = Zero::states},
                         .dropout = 0.5};
    CHECK(std::abs(loss({"", other}, three) / one - 1) <= kSame);
    other.parallelism.dp = 4;
    CHECK(std::abs(loss({"", other}, three) / one - 1) <= kSame);  // one replica has none
  }
}

TEST_CASE("trainer: gradients that were taken before a step leave no trace in it") {
  const auto losses = [](bool gradients_before) {
    std::vector<double> all;
    on_mesh(*small_weights(), {"", {.dtype = DType::f64}}, [&](Rank&, Trainer& trainer) {
      const StepBatch other = batch_of_step(7);
      if (gradients_before) (void)trainer.gradients(other.tokens, other.targets);
      for (int64_t i : {0, 1}) {
        const StepBatch batch = batch_of_step(i);
        const StepResult step = trainer.step(batch.tokens, batch.targets, i, 1e-3);
        all.push_back(step.loss);
        all.push_back(step.grad_norm);
      }
    });
    return all;
  };
  CHECK(losses(true) == losses(false));
}

TEST_CASE("trainer: a step checks its batch") {
  const auto source = small_weights();
  const StepBatch batch = batch_of_step(0);
  CHECK_THAT(message(
                 [&] {
                   on_mesh(*source, {"", {.parallelism = {.dp = 3}}}, [&](Rank&, Trainer& trainer) {
                     (void)trainer.step(batch.tokens, batch.targets, 0, 1e-3);
                   });
                 },
                 ErrorKind::usage),
             Catch::Contains("4 sequences does not divide by 3 replicas"));
}

TEST_CASE("trainer: options that do not fit together are refused") {
  const auto source = small_weights();
  const auto refused = [&](const TrainerOptions& options) {
    return message(
        [&] {
          on_mesh(*source, {"", options}, [](Rank&, Trainer&) {});
        },
        ErrorKind::usage);
  };
  for (double rate : {-0.1, 1.0, std::nan("")})
    CHECK_THAT(refused({.dropout = rate}), Catch::Contains("is no rate"));
  CHECK_THAT(refused({.parallelism = {.tp = 2, .regather = true}}),
             Catch::Contains("--sp-regather"));
}

TEST_CASE("trainer: a parallelism that is of another mesh than the ranks is refused") {
  const auto source = small_weights();
  const auto refused = [&](const Parallelism& how) {
    return message(
        [&] {
          World({.tp = 2}).run(
              [&](Rank& rank) { (void)make_trainer(rank, *source, {.parallelism = how}); });
        },
        ErrorKind::usage);
  };
  CHECK_THAT(refused({.tp = 2, .dp = 2}),
             Catch::Contains("a trainer for tp 2, dp 2 on a mesh of tp 2, dp 1"));
  CHECK_THAT(refused({.tp = 1}),
             Catch::Contains("a trainer for") && Catch::Contains(" on a mesh of tp 2, dp 1"));
}

TEST_CASE(
    "trainer: a NaN stops the step, which is named with the first site, and changes nothing") {
  for (const Run& run : std::vector<Run>{
           {"tp 1"},
           {"tp 2", {.parallelism = {.tp = 2}}},
           {"tp 2, dp 2, SP, ZeRO 1",
            {.parallelism =
                 {.tp = 2, .dp = 2, .sp = true, .zero = Zero::states, .accumulation = 2}}},
           {"tp 2, dp 2, ZeRO 2",
            {.parallelism = {.tp = 2, .dp = 2, .zero = Zero::gradients}, .dropout = 0.1}}}) {
    for (const auto& [parameter, site] :
         {std::pair<std::string, std::string>{"transformer.h.1.ln_2.weight", "block 1/ln_2"},
          {"transformer.h.0.mlp.c_fc.bias", "block 0/mlp/fc"}}) {
      INFO(run.text << ", " << parameter);
      const OneNan source(parameter);
      std::atomic<bool> untouched = true;
      const std::string problem = message(
          [&] {
            on_mesh(source, run, [&](Rank&, Trainer& trainer) {
              const StepBatch batch = batch_of_step(0);
              const auto bits = [&](const Array& x) {
                const auto* from = static_cast<const char*>(x.data());
                return std::string(from, from + x.bytes());
              };
              const auto all = [&] {
                return bits(trainer.parameters().values) + bits(trainer.optimizer().m()) +
                       bits(trainer.optimizer().v());
              };
              const std::string before = all();
              try {
                (void)trainer.step(batch.tokens, batch.targets, 17, 1e-3);
              } catch (const Error&) {
                if (all() != before) untouched = false;
                throw;
              }
            });
          },
          ErrorKind::usage);
      CHECK_THAT(problem, Catch::Contains("step 17: the loss is not a finite number"));
      CHECK_THAT(problem, Catch::EndsWith("first at " + site));
      CHECK(untouched);
    }
  }
}

// A target's logit is -inf: 1e20 from the final norm's bias times -1e20 in its row of an untied
// head. Its probability is 0, so gradients are numbers, though large.
TEST_CASE("trainer: a loss that is no number changes nothing, though the gradients' norm is one") {
  GptConfig config = kSmall;
  config.tied_head = false;
  const StepBatch batch = batch_of_step(0);
  const LargeLogit source(config, batch.targets[1]);
  for (const Parallelism& how : {Parallelism{}, {.tp = 2, .dp = 2, .zero = Zero::gradients}}) {
    std::atomic<int> unchanged = 0, of_numbers = 0;  // ranks
    const std::string problem = message(
        [&] {
          on_mesh(source, {"", {.parallelism = how}}, [&](Rank& rank, Trainer& trainer) {
            const auto before = on_host(rank.device(), trainer.parameters().values);
            try {
              (void)trainer.step(batch.tokens, batch.targets, 17, 1e-3);
            } catch (const Error&) {
              const auto after = on_host(rank.device(), trainer.parameters().values);
              const auto g = on_host(rank.device(), trainer.parameters().gradients);
              of_numbers +=
                  std::all_of(g.begin(), g.end(), [](double x) { return std::isfinite(x); });
              unchanged += after == before ? 1 : 0;
              throw;
            }
          });
        },
        ErrorKind::usage);
    CHECK_THAT(problem, Catch::Contains("step 17: the loss is not a finite number"));
    CHECK(of_numbers == how.mesh().ranks());
    CHECK(unchanged == how.mesh().ranks());
  }
}

TEST_CASE("trainer: parameters of a step that does not stop do change") {
  const auto source = small_weights();
  on_mesh(*source, {"", {}}, [](Rank& rank, Trainer& trainer) {
    const auto before = on_host(rank.device(), trainer.parameters().values);
    const StepBatch batch = batch_of_step(0);
    (void)trainer.step(batch.tokens, batch.targets, 17, 1e-3);
    CHECK(on_host(rank.device(), trainer.parameters().values) != before);
  });
}

TEST_CASE("trainer: in bf16 masters are the source's own numbers, and the model their rounding") {
  const auto source = small_weights();
  const auto rounded = [](double x) { return static_cast<double>(static_cast<float>(bf16(x))); };
  for (const Parallelism& how :
       std::vector<Parallelism>{{}, {.tp = 2, .dp = 2, .sp = true, .zero = Zero::gradients}}) {
    std::atomic<int64_t> foreign = 0, finer = 0, unrounded = 0;  // numbers
    std::atomic<int> moved = 0;                                  // ranks
    on_mesh(*source, {"", {.dtype = DType::bf16, .parallelism = how}},
            [&](Rank& rank, Trainer& trainer) {
              Optimizer& optimizer = trainer.optimizer();
              const Range part = optimizer.part();
              const auto look = [&] {
                const auto values = on_host(rank.device(), trainer.parameters().values);
                auto masters = on_host(rank.device(), optimizer.masters());
                for (size_t i = 0; i < masters.size(); ++i)
                  unrounded += rounded(masters[i]) != values[i + static_cast<size_t>(part.begin)];
                return masters;
              };
              const std::vector<double> before = look();
              for (const FlatEntry& entry : trainer.parameters().layout.entries()) {
                const ParameterRow& row = trainer.plan().rows()[entry.row];
                const Slice slice = trainer.plan().saved_slice(row, rank.index());
                std::vector<float> own(static_cast<size_t>(slice.count()));
                source->read(row.tensor, slice, {DType::f32, own.data(), slice.count()});
                const Range r = intersection(part, real_numbers(entry, slice));
                for (int64_t i = r.begin; i < r.end; ++i) {
                  const double master = before[static_cast<size_t>(i - part.begin)];
                  foreign +=
                      master != static_cast<double>(own[static_cast<size_t>(i - entry.first)]);
                  finer += master != rounded(master);
                }
              }
              for (int64_t step = 0; step < 2; ++step) {
                const StepBatch batch = batch_of_step(step);
                (void)trainer.step(batch.tokens, batch.targets, step, 1e-3);
              }
              moved += look() != before;
            });
    CHECK(foreign == 0);
    CHECK(finer > 10000);  // of 28,000, nearly all that is drawn
    CHECK(unrounded == 0);
    CHECK(moved == how.mesh().ranks());
  }
}
