// The verifier for training passes what is right, on every mesh.
#include <algorithm>
#include <filesystem>

#include "model/checkpoints/checkpoint.h"
#include "sim/error.h"
#include "tests/verify/small_training.h"

using namespace tplab;
using namespace tplab::testing;

TEST_CASE("verify --backward: the model is right on every mesh, in both dtypes") {
  check_good(verify(*small_weights(), small_options(training_meshes({1, 2, 4}, {1, 2}), 2)));
}

TEST_CASE("verify --backward: every algorithm gives the right result and sends what it should") {
  for (Algorithm a : {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    VerifyOptions options = small_options({{.tp = 2, .dp = 2, .zero = Zero::gradients},
                                           {.tp = 4, .dp = 2, .sp = true, .zero = Zero::states},
                                           {.tp = 4, .sp = true, .regather = true}});
    options.algorithm = a;
    check_good(verify(*small_weights(), options));
  }
}

TEST_CASE("verify --backward: the model is right for every architecture") {
  for (bool bias : {true, false}) {
    for (bool tied : {true, false}) {
      for (Gelu kind : {Gelu::erf, Gelu::tanh}) {
        GptConfig config = kSmall;
        config.bias = bias;
        config.tied_head = tied;
        config.gelu = kind;
        INFO("bias " << bias << ", tied " << tied << ", tanh " << (kind == Gelu::tanh));
        check_good(verify(
            *small_weights(config),
            small_options(
                {{.tp = 1}, {.tp = 2, .dp = 2, .zero = Zero::gradients}, {.tp = 4, .sp = true}})));
      }
    }
  }
}

TEST_CASE("verify --backward: the reference's dimensions need not be multiples of a cache line") {
  // 12 numbers a row: the flat list has gaps between its entries, which hold zeros.
  GptConfig config = kSmall;
  config.n_embd = 12;
  config.n_inner = 20;
  check_good(verify(*small_weights(config),
                    small_options({{.tp = 2, .dp = 2, .zero = Zero::states},
                                   {.tp = 4, .dp = 2, .sp = true, .zero = Zero::gradients}})));
}

TEST_CASE("verify --backward: the model is right where ranks hold unequal parts") {
  std::vector<Parallelism> meshes = training_meshes({4}, {1, 2});
  meshes.push_back({.tp = 5, .dp = 2, .zero = Zero::gradients});
  VerifyOptions options = small_options(meshes, 2);
  for (Parallelism& mesh : options.meshes) mesh.uneven = true;
  check_good(verify(*small_weights(kUneven), options));
}

TEST_CASE("verify --backward: training_meshes has every sensible combination once") {
  const std::vector<Parallelism> meshes = training_meshes({1, 2}, {1, 2});
  // tp 1: plain, dp 2 with ZeRO 0 to 2, recompute. tp 2: each of the four with SP in three ways.
  CHECK(meshes.size() == 5 + 13);
  std::vector<std::string> texts;
  for (const Parallelism& mesh : meshes) texts.push_back(mesh.text());
  std::sort(texts.begin(), texts.end());
  CHECK(std::adjacent_find(texts.begin(), texts.end()) == texts.end());
  CHECK(std::binary_search(texts.begin(), texts.end(), "tp 2, dp 2, SP, gathered again, ZeRO 2"));
}

TEST_CASE("verify --backward: what does not fit is refused before anything runs") {
  const auto source = small_weights();
  const auto verify = [&](const VerifyOptions& options) { return tplab::verify(*source, options); };
  CHECK_THROWS_WITH(verify(small_options({{.tp = 1}, {.tp = 3}})), Catch::Contains("tp 3"));
  CHECK_THROWS_WITH(verify(small_options({{.tp = 1, .dp = 3}})), Catch::Contains("4 sequences"));
  VerifyOptions odd = small_options({{.tp = 2, .sp = true}});
  odd.batches.back().tokens.length = 5;
  CHECK_THROWS_WITH(verify(odd), Catch::Contains("5 positions"));
  VerifyOptions none = small_options({{.tp = 1}});
  none.batches.clear();
  CHECK_THROWS_AS(verify(none), Error);
}

TEST_CASE("verify --backward: nanoGPT's own gradients and five steps, to 1e-9 on every mesh",
          "[slow]") {
  const std::string folder =
      std::string(TPLAB_SOURCE_DIR) + "/../shared/data/nanogpt-shakespeare-char";
  if (!std::filesystem::exists(folder)) {
    WARN("skipped: there is no " << folder);
    return;
  }
  const auto source = open_checkpoint(folder);
  const Golden golden = read_golden(folder + "/golden.safetensors", source->architecture());
  VerifyOptions options;
  options.backward = true;
  options.meshes = training_meshes({1, 2, 4}, {1, 2});
  options.dtypes = {DType::f64};
  options.batches = {{golden.tokens, golden.targets}};
  for (size_t i = 0; i < golden.train_tokens.size(); ++i)
    options.batches.push_back({golden.train_tokens[i], golden.train_targets[i]});
  options.golden = golden;
  const Report report = verify(*source, options);
  check_good(report);
  // The loss, five losses, five norms, and every parameter's gradient and value after five steps.
  const size_t tensors = 1 + 5 + 5 + 2 * named_tensors(source->architecture()).size();
  for (const RunResult& run : report.runs) {
    INFO(run.mesh.text());
    CHECK(run.against.size() == tensors);
    for (const AgainstResult& a : run.against) {
      INFO(a.site);
      CHECK(a.rms <= 1e-9);
    }
  }
}
