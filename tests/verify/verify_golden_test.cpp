// verify, forward and backward, beside a golden file: what is right passes in every number format,
// and what is not is laid at the right door.
#include <functional>

#include "model/checkpoints/checkpoint.h"
#include "model/finite.h"
#include "tests/verify/golden_files.h"
#include "tests/verify/small_training.h"
#include "verify/reference/reference_train.h"
#include "verify/truth.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

constexpr const char* kTypes[] = {"F64", "F32", "BF16", "F16"};

Ids as_ids(const std::vector<int32_t>& ids) { return {ids.begin(), ids.end()}; }

// What a right program saves of small_batch(0): logits, the loss, some activations and 20 greedy
// tokens (the context is 16).
Parts right_forward(const WeightSource& source, const std::string& type) {
  const TrainingBatch batch = small_batch(0);
  const Shape shape = {4, 8};
  Parts parts = {ids("x", shape, as_ids(batch.tokens.ids)), ids("y", shape, as_ids(batch.targets))};
  const Reference<double> reference(source.architecture(), whole_parameters(source));
  const ReferenceOutput out = reference.forward(as_reference(batch), [&](const Activation& a) {
    if (a.site == "block 1/attn/heads" || a.site == "block 0/mlp/fc")
      parts.push_back(stored("activation." + a.site, type, a.shape, a.values));
  });
  parts.push_back(stored("logits", type, out.shape, out.logits));
  parts.push_back(stored("loss", type, {}, {*out.loss}));
  const std::vector<int> prompt(batch.tokens.ids.begin(), batch.tokens.ids.begin() + 3);
  const std::vector<int> greedy = reference.greedy(prompt, 20);
  parts.push_back(ids("greedy", {1, 23}, {greedy.begin(), greedy.end()}));
  return parts;
}

Report verified(const WeightSource& source, const Parts& parts, const std::vector<int>& tps = {2}) {
  VerifyOptions options;
  options.meshes = forward_meshes(tps);
  options.golden = read(parts, source.architecture());
  options.batches = {{options.golden->tokens, options.golden->targets}};
  return verify(source, options);
}

std::string note_of(const Report& report, const std::string& tensor) {
  for (const AgainstResult& a : report.reference_against)
    if (a.tensor == tensor) return a.note;
  FAIL("no " << tensor);
  return "";
}

// Everything agrees with the reference, the golden file with neither, first in this tensor.
void check_golden_differs(const Report& report, const std::string& tensor) {
  CHECK_FALSE(report.good());
  for (const RunResult& run : report.runs) {
    INFO("tp " << run.mesh.tp << ", " << name(run.dtype));
    CHECK_FALSE(run.finding);
    REQUIRE(run.golden_finding);
    CHECK(run.golden_finding->site == tensor);
  }
}

}  // namespace

TEST_CASE("verify golden: a right file agrees in f64, f32, bf16 and f16, with all that it holds") {
  const auto source = small_weights();
  for (const char* type : kTypes) {
    INFO(type);
    const Report report = verified(*source, right_forward(*source, type), {1, 2});
    CHECK(report.not_compared.empty());
    CHECK(report.reference_against.size() == 4);
    for (const AgainstResult& a : report.reference_against) {
      INFO(a.tensor << ": " << a.difference);
      CHECK(a.good);
    }
    for (const RunResult& run : report.runs) {
      INFO("tp " << run.mesh.tp << ", " << name(run.dtype));
      INFO((run.golden_finding ? run.golden_finding->where : ""));
      CHECK(run.good());
      CHECK(run.against.size() == 4);
      CHECK(run.greedy_good == (run.dtype == DType::f64 ? std::optional(true) : std::nullopt));
    }
    CHECK(report.good());
  }
}

TEST_CASE("verify golden: each wrong tensor is the golden file's fault, in every format") {
  const auto source = small_weights();
  // A 32nd of a number is more than storing it in bf16 rounds, which is a 256th.
  for (const char* type : kTypes) {
    INFO(type);
    for (const char* tensor : {"logits", "loss", "activation.block 0/mlp/fc"}) {
      Parts parts = right_forward(*source, type);
      Part& wrong = part(parts, tensor);
      Numbers values = read(parts, kSmall)
                           .find(std::string(tensor) == "logits" ? "head/logits"
                                 : std::string(tensor) == "loss" ? "loss"
                                                                 : "block 0/mlp/fc")
                           ->values;
      values.back() *= 1 + 0x1p-5;
      wrong = stored(wrong.name, type, wrong.shape, values);
      check_golden_differs(verified(*source, parts), tensor);
    }
  }
}

TEST_CASE("verify golden: greedy tokens that differ are named with their place") {
  const auto source = small_weights();
  Parts parts = right_forward(*source, "F64");
  Part& greedy = part(parts, "greedy");
  const std::vector<int32_t> right = read(parts, kSmall).greedy_new;
  Ids tokens = as_ids(read(parts, kSmall).greedy_prompt);
  tokens.insert(tokens.end(), right.begin(), right.end());
  tokens[21] = (tokens[21] + 1) % 67;
  greedy = ids("greedy", {1, 23}, tokens);
  const Report report = verified(*source, parts);
  for (const RunResult& run : report.runs) {
    CHECK_FALSE(run.finding);
    if (run.dtype == DType::f32) continue;
    REQUIRE(run.golden_finding);
    CHECK_THAT(run.golden_finding->where,
               Contains(fmt::format("greedy[21]: tplab has the token {}, the golden file {}",
                                    (tokens[21] + 66) % 67, tokens[21])));
  }
}

TEST_CASE("verify golden: what is wrong here is not laid at the golden file's door") {
  const auto source = small_weights();
  VerifyOptions options;
  options.meshes = forward_meshes({2});
  options.golden = read(right_forward(*source, "F64"), kSmall);
  options.batches = {{options.golden->tokens, options.golden->targets}};
  const auto other = initial_weights(kSmall, {.seed = 12, .draw_biases = true});
  options.breakage.weights = other.get();
  const Report report = verify(*source, options);
  for (const AgainstResult& a : report.reference_against) CHECK(a.good);
  for (const RunResult& run : report.runs) {
    CHECK(run.finding);
    CHECK_FALSE(run.golden_finding);
  }
}

TEST_CASE("verify golden: logits of the last position, and of a padded vocabulary, are compared") {
  const auto source = small_weights();
  Parts parts = right_forward(*source, "F32");
  const Numbers logits = read(parts, kSmall).find("head/logits")->values;
  Numbers last, padded;
  for (size_t b = 0; b < 4; ++b)
    last.insert(last.end(), logits.begin() + static_cast<std::ptrdiff_t>((8 * b + 7) * 67),
                logits.begin() + static_cast<std::ptrdiff_t>((8 * b + 8) * 67));
  for (size_t row = 0; row < 32; ++row) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(67 * row);
    padded.insert(padded.end(), begin, begin + 67);
    padded.resize(padded.size() + 61, 99);
  }
  part(parts, "logits") = stored("logits", "F32", {4, 67}, last);
  Report report = verified(*source, parts);
  CHECK(report.good());
  CHECK(note_of(report, "logits") == "the last position alone");
  part(parts, "logits") = stored("logits", "F32", {4, 8, 128}, padded);
  report = verified(*source, parts);
  CHECK(report.good());
  CHECK_THAT(note_of(report, "logits"), Contains("the first 67 of its 128 columns"));
  padded[130] += 1;
  part(parts, "logits") = stored("logits", "F32", {4, 8, 128}, padded);
  const Report wrong = verified(*source, parts);
  check_golden_differs(wrong, "logits");
  CHECK_THAT(wrong.runs[0].golden_finding->where, Contains("at [0, 1, 2]"));
}

TEST_CASE(
    "verify golden: what no rank holds is compared with the reference alone, and it is said") {
  const auto source = small_weights();
  Parts parts = right_forward(*source, "F64");
  const Reference<double> reference(source->architecture(), whole_parameters(*source));
  (void)reference.forward(as_reference(small_batch(0)), [&](const Activation& a) {
    if (a.site == "block 1/attn/softmax")
      parts.push_back(stored("activation.block 1/attn/softmax", "F64", a.shape, a.values));
  });
  const Report report = verified(*source, parts);
  CHECK(report.good());
  CHECK(report.reference_against.size() == 5);
  CHECK(report.not_compared.size() == 1);
  CHECK_THAT(why_not(report.not_compared, "activation.block 1/attn/softmax"),
             Contains("with the reference alone"));
}

TEST_CASE("verify golden: a file with nothing to compare is refused") {
  const auto source = small_weights();
  CHECK_THAT(refusal([&] {
               (void)verified(*source, {ids("x", {1, 2}, {1, 2})});
             }),
             Contains("nothing in it can be compared"));
}

// ---- training

namespace {

// What a right program saves of one batch and two steps.
Parts right_training(const WeightSource& source, const std::string& type) {
  std::vector<TokenBatch> batches;
  Ids x, y;
  for (int32_t which = 0; which < 3; ++which) {
    const TrainingBatch batch = small_batch(which);
    batches.push_back(as_reference(batch));
    x.insert(x.end(), batch.tokens.ids.begin(), batch.tokens.ids.end());
    y.insert(y.end(), batch.targets.begin(), batch.targets.end());
  }
  const Weights weights = whole_parameters(source);
  const auto gradients = Reference<double>(source.architecture(), weights).backward(batches[0]);
  const auto trained = train_reference(source.architecture(), weights, {batches[1], batches[2]},
                                       VerifyOptions{}.recipe);
  Parts parts = {ids("x", {3, 4, 8}, x), ids("y", {3, 4, 8}, y),
                 stored("loss", type, {1}, {gradients.loss}),
                 stored("train.losses", type, {2}, trained.losses),
                 stored("train.grad_norms", type, {2}, trained.grad_norms)};
  for (const NamedTensor& p : named_tensors(source.architecture())) {
    parts.push_back(stored("grad." + p.name, type, p.shape, gradients.parameters.at(p.name)));
    parts.push_back(stored("after2." + p.name, type, p.shape, trained.parameters.at(p.name)));
  }
  return parts;
}

Report trained(const WeightSource& source, const Parts& parts) {
  const Golden golden = read(parts, source.architecture());
  VerifyOptions options = small_options({{.tp = 2, .dp = 2, .zero = Zero::states}}, 2);
  options.golden = golden;
  return verify(source, options);
}

}  // namespace

TEST_CASE("verify golden: right gradients and steps agree in f64, f32, bf16 and f16") {
  const auto source = small_weights();
  for (const char* type : kTypes) {
    INFO(type);
    const Report report = trained(*source, right_training(*source, type));
    CHECK(report.not_compared.empty());
    const size_t tensors = 1 + 2 + 2 + 2 * named_tensors(kSmall).size();
    CHECK(report.reference_against.size() == tensors);
    for (const RunResult& run : report.runs) {
      INFO(name(run.dtype));
      INFO((run.golden_finding ? run.golden_finding->site + run.golden_finding->where : ""));
      CHECK(run.against.size() == tensors);
      CHECK(run.good());
    }
    CHECK(report.good());
  }
}

TEST_CASE("verify golden: a wrong gradient, loss, norm or parameter is named as the file names it",
          "[slow]") {
  const auto source = small_weights();
  for (const char* type : kTypes) {
    for (const char* tensor : {"grad.transformer.h.1.attn.c_proj.weight", "train.losses",
                               "train.grad_norms", "after2.transformer.wpe.weight", "loss"}) {
      INFO(type << " " << tensor);
      Parts parts = right_training(*source, type);
      const std::string name = tensor;
      const std::string site = name == "train.losses"       ? "step 2/loss"
                               : name == "train.grad_norms" ? "step 2/norm"
                               : name.starts_with("after2") ? "after." + name.substr(7)
                                                            : name;
      const std::string shown = name.starts_with("train.") ? name + "[1]" : name;
      const Golden golden = read(parts, kSmall);
      Numbers values = golden.find(site)->values;
      values.back() = values.back() * (1 + 0x1p-4) + 0x1p-4;
      if (name.starts_with("train."))
        values.insert(values.begin(), golden.find("step 1" + site.substr(6))->values[0]);
      Part& wrong = part(parts, name);
      wrong = stored(wrong.name, type, wrong.shape, values);
      const Report report = trained(*source, parts);
      CHECK_FALSE(report.good());
      for (const RunResult& run : report.runs) {
        CHECK_FALSE(run.finding);
        REQUIRE(run.golden_finding);
        CHECK(run.golden_finding->site == shown);
        CHECK_THAT(run.golden_finding->where, Contains("tplab has"));
      }
    }
  }
}

TEST_CASE("verify --backward: a mesh over which the batch does not divide is left out, by name") {
  VerifyOptions options = small_options(training_meshes({1, 2, 3}, {1, 3}), 1);
  for (Parallelism& mesh : options.meshes) mesh.uneven = true;
  options.dtypes = {DType::f64};
  const Report report = verify(*small_weights(kUneven), options);
  check_good(report);
  // 4 sequences over 3 replicas, at each tp, with or without SP; 8 positions over 3 ranks under SP.
  CHECK(report.runs.size() + report.left_out.size() == options.meshes.size());
  for (const LeftOut& left_out : report.left_out) {
    INFO(left_out.mesh.text() << ": " << left_out.why);
    if (left_out.mesh.dp == 3) {
      CHECK_THAT(left_out.why, Contains("4 sequences does not divide by 3 replicas"));
    } else {
      CHECK((left_out.mesh.tp == 3 && left_out.mesh.sp));
      CHECK_THAT(left_out.why, Contains("sequence parallelism splits 8 positions over 3 ranks"));
    }
  }
  for (const RunResult& run : report.runs)
    CHECK((run.mesh.dp == 1 && !(run.mesh.tp == 3 && run.mesh.sp)));
}
