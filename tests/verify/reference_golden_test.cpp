// The dense reference against what nanoGPT and PyTorch computed from real checkpoints.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>

#include "model/checkpoints/checkpoint.h"
#include "model/files/safetensors.h"
#include "verify/compare.h"
#include "verify/golden.h"
#include "verify/reference/reference.h"
#include "verify/reference/reference_train.h"
#include "verify/truth.h"

using namespace tplab;

namespace {

// The folder of real files beside the source tree; empty, with a warning, where it is absent.
std::string data(const std::string& folder) {
  const std::string path = std::string(TPLAB_SOURCE_DIR) + "/../shared/data/" + folder;
  if (std::filesystem::exists(path)) return path;
  WARN("skipped: there is no " << path);
  return "";
}

std::vector<int> first(const std::vector<int64_t>& ids, int64_t count) {
  return {ids.begin(), ids.begin() + count};
}

}  // namespace

TEST_CASE("reference: nanoGPT's own logits, loss and greedy tokens, to 1e-12") {
  const std::string folder = data("nanogpt-shakespeare-char");
  if (folder.empty()) return;
  const auto source = open_checkpoint(folder + "/ckpt.pt");
  const SafetensorsFile golden(folder + "/golden.safetensors");
  const Weights weights = whole_parameters(*source);
  const TokenBatch batch = {.B = 4,
                            .T = 64,
                            .tokens = first(golden.read_integers("x"), 256),
                            .targets = first(golden.read_integers("y"), 256)};
  const std::vector<double> logits = golden.read_doubles("logits");
  const double loss = golden.read_doubles("loss")[0];

  const Reference<double> reference(source->architecture(), weights);
  const ReferenceOutput out = reference.forward(batch);
  CHECK(compare(out.logits, logits, out.shape).max_rel <= 1e-12);
  CHECK(std::abs(*out.loss / loss - 1) <= 1e-12);

  // A draw of f32: rounding, and no more (a sum of 512 terms, 2^-24 each at the very most).
  const ReferenceOutput rounded =
      Reference<Rough<DType::f32>>(source->architecture(), weights).forward(batch);
  const double error = compare(rounded.logits, logits, out.shape).max_rel;
  CHECK(error > 0x1p-26);
  CHECK(error <= 512 * 0x1p-24);

  // A mutant: one exchanged pair of tokens must not pass.
  TokenBatch swapped = batch;
  std::swap(swapped.tokens[3], swapped.tokens[4]);
  CHECK_FALSE(compare(reference.forward(swapped).logits, logits, out.shape).max_rel <= 1e-3);

  const std::vector<int64_t> greedy = golden.read_integers("greedy");
  CHECK(reference.greedy(first(greedy, 8), 100) == first(greedy, 108));
}

namespace {

TokenBatch batch_of(const Tokens& tokens, const std::vector<int32_t>& targets) {
  return {.B = tokens.batch, .T = tokens.length, .tokens = tokens.ids, .targets = targets};
}

std::vector<TokenBatch> train_batches(const Golden& golden) {
  std::vector<TokenBatch> batches;
  for (size_t i = 0; i < golden.train_tokens.size(); ++i)
    batches.push_back(batch_of(golden.train_tokens[i], golden.train_targets[i]));
  return batches;
}

using ByName = std::map<std::string, std::vector<double>>;

// What the file has of parameters, "grad." or "after.", by the parameter's name.
ByName of_parameters(const Golden& golden, const std::string& prefix) {
  ByName all;
  for (const GoldenTensor& tensor : golden.tensors)
    if (tensor.site.starts_with(prefix)) all[tensor.site.substr(prefix.size())] = tensor.values;
  return all;
}

// A number a step, "loss" or "norm".
std::vector<double> of_steps(const Golden& golden, const std::string& what) {
  std::vector<double> all;
  for (int64_t step = 1; step <= golden.steps; ++step)
    all.push_back(golden.find("step " + std::to_string(step) + "/" + what)->values[0]);
  return all;
}

// The largest relative error of any parameter's whole, each by the largest value it holds.
double worst(const ByName& got, const ByName& expected) {
  double worst = 0;
  for (const auto& [name, values] : expected) {
    const double error =
        compare(got.at(name), values, {static_cast<int64_t>(values.size())}).max_rel;
    if (!(error <= worst)) worst = error;  // a NaN stays
    if (std::isnan(error)) break;
  }
  return worst;
}

}  // namespace

TEST_CASE("reference backward: nanoGPT's own loss and gradients, to 1e-12") {
  const std::string folder = data("nanogpt-shakespeare-char");
  if (folder.empty()) return;
  const auto source = open_checkpoint(folder + "/ckpt.pt");
  const Golden golden = read_golden(folder + "/golden.safetensors", source->architecture());
  const Weights weights = whole_parameters(*source);
  const TokenBatch batch = batch_of(golden.tokens, golden.targets);
  const ByName gradients = of_parameters(golden, "grad.");
  REQUIRE(gradients.size() == named_tensors(source->architecture()).size());

  const ReferenceGradients d = Reference<double>(source->architecture(), weights).backward(batch);
  CHECK(d.parameters.size() == gradients.size());
  CHECK(std::abs(d.loss / golden.find("loss")->values[0] - 1) <= 1e-14);
  // Sums of up to 512 terms, a dozen deep, in f64 on both sides: 12 * 512 * 2^-53 at the very most.
  CHECK(worst(d.parameters, gradients) <= 12 * 512 * 0x1p-53);

  // A mutant: one target that is not the next token must not pass.
  TokenBatch wrong = batch;
  wrong.targets[100] = (wrong.targets[100] + 1) % 65;
  const auto off = Reference<double>(source->architecture(), weights).backward(wrong);
  CHECK_FALSE(worst(off.parameters, gradients) <= 1e-4);
}

TEST_CASE("reference training: nanoGPT's own losses, gradient norms and parameters, to 1e-10",
          "[slow]") {
  const std::string folder = data("nanogpt-shakespeare-char");
  if (folder.empty()) return;
  const auto source = open_checkpoint(folder + "/ckpt.pt");
  const Golden golden = read_golden(folder + "/golden.safetensors", source->architecture());
  const Weights weights = whole_parameters(*source);
  const std::vector<TokenBatch> batches = train_batches(golden);
  REQUIRE(batches.size() == 5);
  const ByName after = of_parameters(golden, "after.");
  const std::vector<double> losses = of_steps(golden, "loss"), norms = of_steps(golden, "norm");
  REQUIRE(after.size() == named_tensors(source->architecture()).size());
  REQUIRE(losses.size() == 5);
  REQUIRE(norms.size() == 5);

  const TrainRecipe recipe = {.learning_rate = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.99,
                              .eps = 1e-8,
                              .weight_decay = 0.1,
                              .grad_clip = 1.0};
  const auto trained = train_reference(source->architecture(), weights, batches, recipe);
  REQUIRE(norms[0] > 1);  // so that clipping is seen
  // Each loss and norm comes of sums of positive terms; the parameters before it are off by less.
  CHECK(compare(trained.losses, losses, {5}).max_rel <= 1e-12);
  CHECK(compare(trained.grad_norms, norms, {5}).max_rel <= 1e-12);
  // AdamW divides by sqrt(v) + eps. Where a gradient is near eps, an error of 1e-15 in it (1e-14 of
  // the largest, about 0.1 once clipped) moves the parameter by lr 1e-15 / eps = 1e-10 a step.
  CHECK(worst(trained.parameters, after) <= 1e-10);

  // Mutants of the recipe: each of its numbers shows.
  const auto without = [&](auto edit) {
    TrainRecipe other = recipe;
    edit(other);
    return worst(train_reference(source->architecture(), weights, batches, other).parameters,
                 after);
  };
  CHECK_FALSE(without([](TrainRecipe& r) { r.weight_decay = 0; }) <= 1e-7);
  CHECK_FALSE(without([](TrainRecipe& r) { r.grad_clip = 0; }) <= 1e-7);
  CHECK_FALSE(without([](TrainRecipe& r) { r.beta1 = 0.91; }) <= 1e-7);
  CHECK_FALSE(without([](TrainRecipe& r) { r.beta2 = 0.95; }) <= 1e-7);
  CHECK_FALSE(without([](TrainRecipe& r) { r.eps = 1e-7; }) <= 1e-7);
}

TEST_CASE("reference: PyTorch's activations of a sorting GPT, site by site, to f32's rounding") {
  const std::string folder = data("gpt-nano-sort");
  if (folder.empty()) return;
  const auto source = open_checkpoint(folder);
  const SafetensorsFile golden(folder + "/golden.safetensors");
  const std::map<std::string, std::string> golden_names = {{"embed/tok", "tok_emb"},
                                                           {"embed/pos", "pos_emb"},
                                                           {"embed/out", "x"},
                                                           {"block 0/ln_1", "ln1"},
                                                           {"block 0/attn/qkv", "qkv"},
                                                           {"block 0/attn/q", "q"},
                                                           {"block 0/attn/k", "k"},
                                                           {"block 0/attn/v", "v"},
                                                           {"block 0/attn/scores", "att"},
                                                           {"block 0/attn/softmax", "attSm"},
                                                           {"block 0/attn/heads", "y"},
                                                           {"block 0/attn/proj", "yProj"},
                                                           {"block 0/mid", "attnResid"},
                                                           {"block 0/ln_2", "ln2"},
                                                           {"block 0/mlp/fc", "fc"},
                                                           {"block 0/mlp/gelu", "gelu"},
                                                           {"block 0/mlp/proj", "mlp"},
                                                           {"block 0/out", "block0"},
                                                           {"block 1/out", "block1"},
                                                           {"block 2/out", "block2"},
                                                           {"ln_f", "ln_f"}};
  const TokenBatch batch = {.B = 3, .T = 11, .tokens = first(golden.read_integers("x"), 33)};
  size_t compared = 0;
  const auto check_site = [&](Activation a) {
    const auto name = golden_names.find(a.site);
    if (name == golden_names.end()) return;
    INFO(a.site);
    const std::string tensor = "activation." + name->second;
    CHECK(golden.at(tensor).shape == a.shape);
    // PyTorch's own error: at most 192 roundings a sum, and it does better than the worst case.
    CHECK(compare(a.values, golden.read_doubles(tensor), a.shape).max_rel <= 192 * 0x1p-24);
    ++compared;
  };
  const Reference<double> reference(source->architecture(), whole_parameters(*source));
  const ReferenceOutput out = reference.forward(batch, check_site);
  CHECK(compared == golden_names.size());
  CHECK(compare(out.logits, golden.read_doubles("logits"), out.shape).max_rel <= 192 * 0x1p-24);
}
