// The verifier in bf16: what is right passes though it is rounded to 8 bits, and bugs, which are
// larger than that, are found where they are.
#include <catch2/catch.hpp>
#include <utility>

#include "model/training/trainer.h"
#include "tests/verify/small_training.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

VerifyOptions in_bf16(VerifyOptions options) {
  options.dtypes = {DType::bf16};
  return options;
}

VerifyOptions forward_in_bf16(const std::vector<int>& tps) {
  VerifyOptions options = in_bf16({});
  options.meshes = forward_meshes(tps);
  options.batches.push_back(small_batch(0));
  return options;
}

void check_found(const Report& report, const std::string& site) {
  CHECK_FALSE(report.good());
  for (const RunResult& run : report.runs) {
    INFO(run.mesh.text());
    REQUIRE(run.finding);
    INFO(run.finding->where << ": " << run.finding->cause);
    CHECK(run.finding->site == site);
  }
}

Report forward_tampered(const std::vector<int>& tps, const Tampering& tampering) {
  VerifyOptions options = forward_in_bf16(tps);
  options.breakage.comm = tampered(tampering);
  return verify(*small_weights(), options);
}

Report training_tampered(std::vector<Parallelism> meshes, const Tampering& tampering) {
  VerifyOptions options = in_bf16(small_options(std::move(meshes)));
  options.breakage.comm = tampered(tampering);
  return verify(*small_weights(), options);
}

}  // namespace

TEST_CASE("verify in bf16: a forward pass is right at every tp, by every algorithm") {
  for (Algorithm a : {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    VerifyOptions options = forward_in_bf16({1, 2, 4});
    options.algorithm = a;
    check_good(verify(*small_weights(), options));
  }
}

TEST_CASE("verify in bf16: every architecture is right, forward, backward and in its steps") {
  for (bool bias : {true, false}) {
    for (bool tied : {true, false}) {
      GptConfig config = kSmall;
      config.bias = bias;
      config.tied_head = tied;
      config.gelu = tied ? Gelu::erf : Gelu::tanh;
      INFO("bias " << bias << ", tied " << tied);
      check_good(verify(*small_weights(config), forward_in_bf16({1, 2, 4})));
      check_good(verify(
          *small_weights(config),
          in_bf16(small_options(
              {{.tp = 1}, {.tp = 2, .dp = 2, .zero = Zero::gradients}, {.tp = 4, .sp = true}}))));
    }
  }
}

// Counted bytes are the predicted ones, or a run is not good.
TEST_CASE("verify --backward in bf16: the model is right on every mesh") {
  check_good(
      verify(*small_weights(), in_bf16(small_options(training_meshes({1, 2, 4}, {1, 2}), 2))));
}

TEST_CASE("verify in bf16: activations are sent in 2 bytes a number, and gradients in 4") {
  const Report report =
      verify(*small_weights(), in_bf16(small_options({{.tp = 2, .dp = 2, .zero = Zero::states}})));
  int64_t of_stream = 0, of_gradients = 0, of_parameters = 0;
  for (const Event& e : report.runs[0].events[0]) {
    const int64_t each = e.elements > 1 ? e.payload_bytes / e.elements : 0;
    if (e.axis == Axis::tp && e.elements == 2 * 8 * 32) of_stream += each == 2 ? 1 : 100;
    if (e.axis == Axis::dp && e.op == Op::all_reduce && each > 0)
      of_gradients += each == 4 ? 1 : 100;
    if (e.axis == Axis::dp && e.op == Op::all_gather) of_parameters += each == 2 ? 1 : 100;
  }
  CHECK(of_stream == 10);  // 2 L + 1 forward and backward
  CHECK(of_gradients == 1);
  CHECK(of_parameters == 1);
}

TEST_CASE("verify in bf16: a dropped all-reduce is caught at its site") {
  check_found(forward_tampered({2, 4}, {.site = "block 1/mlp", .drop = true}), "block 1/mlp/proj");
  check_found(forward_tampered({2, 4}, {.site = "embed", .drop = true}), "embed/tok");
}

TEST_CASE("verify in bf16: a rank whose copy differs by one bit is caught") {
  GptConfig config = kSmall;
  config.bias = false;  // adding one could round the difference away
  VerifyOptions options = forward_in_bf16({2});
  options.breakage.comm = tampered({.site = "block 0/mlp", .after = [](Rank& rank, Array& sum) {
                                      if (rank.index() == 1) sum.as<bf16>()[0].bits ^= 1;
                                    }});
  check_found(verify(*small_weights(config), options), "block 0/mlp/proj");
}

TEST_CASE("verify --backward in bf16: sums that are dropped or doubled are caught") {
  check_found(training_tampered({{.tp = 2, .sp = true}, {.tp = 4, .sp = true, .regather = true}},
                                {.site = "small gradients", .drop = true}),
              "grad.transformer.h.0.ln_1.weight");
  check_found(
      training_tampered({{.tp = 2}, {.tp = 4}}, {.site = "block 1/mlp",
                                                 .phase = Phase::backward,
                                                 .after = times([](double tp) { return tp; })}),
      "block 1/grad");
  check_found(
      training_tampered({{.tp = 2, .dp = 2}}, {.site = "replicas", .axis = Axis::dp, .drop = true}),
      "grad.transformer.wte.weight");
}

TEST_CASE("verify --backward in bf16: steps that do not reach the model are caught") {
  // Puts back what the parameters were before each step.
  class Forgets final : public WrappedTrainer {
   public:
    Forgets(std::unique_ptr<Trainer> inner, Rank& rank)
        : WrappedTrainer(std::move(inner)), rank_(rank) {}
    StepResult step(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t step,
                    double learning_rate) override {
      Array values = parameters().values;
      const Array before = rank_.device().allocate(values.dtype(), values.shape());
      rank_.device().copy(values.data(), before.data(), values.bytes());
      const StepResult result = WrappedTrainer::step(tokens, targets, step, learning_rate);
      rank_.device().copy(before.data(), values.data(), values.bytes());
      return result;
    }

   private:
    Rank& rank_;
  };
  VerifyOptions options =
      in_bf16(small_options({{.tp = 1}, {.tp = 2, .dp = 2, .zero = Zero::states}}));
  options.recipe.learning_rate = 0.1;  // no step is rounded away
  options.breakage.trainer = [](Rank& rank, const WeightSource& source, const TrainerOptions& how) {
    return std::make_unique<Forgets>(make_trainer(rank, source, how), rank);
  };
  check_found(verify(*small_weights(), options), "after");
}

TEST_CASE("verify in bf16: bounds leave room for rounding and none for bugs") {
  // A mutant's site is off by a tenth and more; a site in bf16 by some 2^-8, times 6.
  const Report report = verify(*small_weights(), forward_in_bf16({4}));
  for (const SiteResult& s : report.runs[0].results) {
    INFO(s.site);
    CHECK(s.bound.rms < 0.1);
    CHECK(s.rms > 1e-5 * s.bound.rms);
  }
}
