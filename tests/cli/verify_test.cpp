// tplab verify: golden files as people save them, what is refused or left out and how it is said.
#include <sstream>

#include "run_tplab.h"
#include "tests/verify/file_parts.h"
#include "train_runs.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

// What a file of ../shared/data/cases is, or empty where that is absent.
std::string a_case(const std::string& name) { return shared_data("cases/" + name); }

Arguments verify(const Arguments& more) { return Arguments{"verify"} + more; }

void refused_verify(const Arguments& arguments, int exit_code, const std::string& problem) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments);
  CHECK(ran.exit_code == exit_code);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Contains(problem));
  CHECK(options_unknown_to(arguments, ran.err).empty());
}

// Text without its ends of lines, which depend on how wide a terminal is.
std::string in_one_line(const std::string& text) {
  std::string line;
  std::istringstream words(text);
  for (std::string word; words >> word;) line += (line.empty() ? "" : " ") + word;
  return line;
}

const Arguments kSmall = {"--preset", "nano-cpu", "--tp", "2", "--dtype", "f64"};

std::string write_golden(const TemporaryFolder& folder, const Parts& parts) {
  const std::string path = folder / "golden.safetensors";
  write_file(path, file_of(parts));
  return path;
}

// In f64 a wrong kernel and a rounding error are ten orders of magnitude apart.
TEST_CASE("verify --device cuda-host: the kernels for GPUs are right, forward and backward") {
  const Arguments model = verify({"--checkpoint", fixture("nanogpt-tiny/ckpt.pt"), "--device",
                                  "cuda-host", "--tp", "1,2", "--batch", "2", "--seq", "9"});
  for (const std::string dtype : {"f64", "bf16"}) {
    for (const Arguments& more :
         {Arguments{}, Arguments{"--backward", "--dp", "1", "--steps", "1"}}) {
      const Ran ran = tplab(model + Arguments{"--dtype", dtype} + more);
      INFO(dtype << "\n" << ran.out << ran.err);
      CHECK(ran.exit_code == 0);
      CHECK_THAT(ran.out, Contains("\nverified"));  // but for SP, which does not divide 9
    }
  }
  const json report = tplab(model + Arguments{"--dtype", "f64", "--json"}).json();
  REQUIRE_FALSE(report["runs"].empty());
  for (const json& run : report["runs"]) CHECK(run["decode"]["rms"] < 1e-12);
}

TEST_CASE("verify --against: the cases as people save them: bf16, -100, the last position") {
  const std::string folder = a_case("12-golden-as-people-save-it");
  if (folder.empty()) return;
  const Arguments model = verify({"--checkpoint", folder + "/ckpt.pt", "--tp", "2", "--against"});
  for (const char* file : {"good", "bf16", "ignore_100", "last_position"}) {
    INFO(file);
    const Ran ran = tplab(model + Arguments{folder + "/" + file + ".safetensors"});
    INFO(ran.out << ran.err);
    CHECK(ran.exit_code == 0);
    CHECK_THAT(ran.out, Contains("\nverified\n"));
    CHECK((ran.out.find("the last position alone") != ran.out.npos) ==
          (std::string(file) == "last_position"));
    const json doc =
        tplab(model + Arguments{folder + "/" + file + ".safetensors", "--json"}).json();
    CHECK(doc["not_compared"].empty());
    CHECK(!doc["runs"][0]["against"].empty());
  }
}

TEST_CASE("verify --against: the cases of files in which nothing is compared are refused") {
  const std::string folder = a_case("hostile/02-against-nothing-compared");
  const std::string sort = shared_data("gpt-nano-sort");
  if (folder.empty() || sort.empty()) return;
  const Arguments model = verify({"--checkpoint", sort, "--tp", "1", "--against"});
  refused_verify(model + Arguments{folder + "/g_onlyx.safetensors"}, 3,
                 "nothing in it can be compared");
  refused_verify(model + Arguments{folder + "/g_typo.safetensors"}, 3, "did you mean 'logits'?");
  refused_verify(model + Arguments{""}, 2, "--against");
}

TEST_CASE("verify --against: an empty name is refused, however it is given") {
  for (const Arguments& against : {Arguments{"--against", ""}, {"--against="}})
    refused_verify(verify(kSmall) + against, 2, "--against");
}

TEST_CASE("verify --against: a greedy of 60000 tokens ends, and says what it left out") {
  const std::string folder = a_case("hostile/05-golden-greedy-hang");
  const std::string sort = shared_data("gpt-nano-sort");
  if (folder.empty() || sort.empty()) return;
  const Ran ran = tplab(verify({"--checkpoint", sort, "--tp", "1", "--dtype", "f64", "--against",
                                folder + "/g_greedy.safetensors"}));
  CHECK((ran.exit_code == 0 || ran.exit_code == 1));  // whether the tokens are right is open
  CHECK_THAT(ran.out, Contains("not compared: 'greedy': its last"));
}

TEST_CASE("verify --against: an x whose sizes overflow is a bad file that is named") {
  const std::string folder = a_case("hostile/08-golden-x-overflow");
  const std::string sort = shared_data("gpt-nano-sort");
  if (folder.empty() || sort.empty()) return;
  refused_verify(
      verify({"--checkpoint", sort, "--tp", "1", "--against", folder + "/g_ovf.safetensors"}), 3,
      "g_ovf.safetensors: 'x' is [0, 4611686018427387904, 4]: it holds no token");
}

TEST_CASE("verify: a NaN in a checkpoint is named with its place, forward and backward") {
  const std::string folder = a_case("11-nan-in-weights");
  if (folder.empty()) return;
  const Arguments model = verify({"--checkpoint", folder + "/ckpt.pt", "--tp", "2", "--seq", "8"});
  refused_verify(model, 3, "ckpt.pt, iteration 10: transformer.h.0.mlp.c_fc.weight[3, 5] is NaN");
  refused_verify(model + Arguments{"--backward"}, 3,
                 "transformer.h.0.mlp.c_fc.weight[3, 5] is NaN");
}

TEST_CASE("verify: a NaN in a Hugging Face file is named as that file has it") {
  const TemporaryFolder folder;
  std::filesystem::copy(fixture("gpt2-tiny"), folder / "model");
  const std::string path = folder / "model/model.safetensors";
  std::string bytes = file_text(path);
  const TensorInfo info = SafetensorsFile(path).at("transformer.h.1.attn.c_attn.bias");
  bytes.replace(static_cast<size_t>(info.offset + 4 * 7), 4, "\xff\xff\xff\xff");
  write_file(path, bytes);
  refused_verify(verify({"--checkpoint", folder / "model", "--tp", "1", "--seq", "4"}), 3,
                 "transformer.h.1.attn.c_attn.bias[7] is NaN");
}

TEST_CASE("verify: a golden file that is wrong does not make tplab's own row wrong") {
  const TemporaryFolder folder;
  const std::string path = write_golden(
      folder, {ids("x", {1, 2}, {0, 1}), doubles("logits", {1, 2, 65}, Numbers(130, 0.5)),
               doubles("activation.ln2", {1, 2, 3}, Numbers(6, 0.5)), doubles("Loss", {1}, {1}),
               doubles("grad.transformer.h.0.ln_1.weight", {1}, {1})});
  // The gradient has no y: the file is refused.
  refused_verify(verify(kSmall) + Arguments{"--against", path}, 3,
                 "is the gradient of a loss without 'y'");
  write_golden(folder,
               {ids("x", {1, 2}, {0, 1}), doubles("logits", {1, 2, 65}, Numbers(130, 0.5)),
                doubles("activation.ln2", {1, 2, 3}, Numbers(6, 0.5)), doubles("Loss", {1}, {1})});
  const Ran ran = tplab(verify(kSmall) + Arguments{"--against", path});
  CHECK(ran.exit_code == 1);
  const std::string text = in_one_line(ran.out);
  CHECK_THAT(text, !Contains("WRONG") && !Contains("first wrong") && Contains(" differs"));
  CHECK_THAT(text, Contains("the golden file differs from tplab and from its reference, which "
                            "agree; first at logits"));
  CHECK_THAT(text, Contains("tplab has ") && Contains(", the golden file 0.5"));
  CHECK_THAT(text, Contains("NOT verified: tplab agrees with its reference, and the golden file "
                            "does not"));
  CHECK_THAT(text,
             Contains("not compared: 'Loss': tplab knows no such name: did you mean 'loss'?"));
  const json doc = tplab(verify(kSmall) + Arguments{"--against", path, "--json"}).json();
  CHECK(doc["good"] == false);
  CHECK(doc["runs"][0]["finding"].is_null());
  CHECK(doc["runs"][0]["golden_finding"]["site"] == "logits");
  CHECK(doc["not_compared"][0]["tensor"] == "Loss");
}

TEST_CASE("verify: an escape in the name of a golden tensor is shown, not obeyed") {
  const TemporaryFolder folder;
  const std::string path =
      write_golden(folder, {ids("x", {1, 1}, {0}), doubles("\\u001b[31mred", {1}, {1})});
  const Ran ran = tplab(verify(kSmall) + Arguments{"--against", path});
  CHECK(ran.exit_code == 3);
  CHECK_THAT(ran.err, Contains("\\x1b[31mred") && !Contains("\x1b"));
}

TEST_CASE("verify --backward: what a golden file has for the other direction is said") {
  const TemporaryFolder folder;
  const Part x = ids("x", {1, 2}, {0, 1}), y = ids("y", {1, 2}, {1, 2}),
             loss = doubles("loss", {1}, {4.2}),
             logits = doubles("logits", {1, 2, 65}, Numbers(130)),
             grad = doubles("grad.transformer.ln_f.weight", {128}, Numbers(128));
  const std::string path = write_golden(folder, {x, y, loss, logits, grad});
  const Arguments against = {"--against", path};
  CHECK_THAT(in_one_line(tplab(verify(kSmall) + against).out),
             Contains("not compared: 'grad.transformer.ln_f.weight': --backward compares it"));
  CHECK_THAT(
      in_one_line(tplab(verify(kSmall) + Arguments{"--backward", "--dp", "1"} + against).out),
      Contains("not compared: 'logits': compared without --backward"));
  write_golden(folder, {x, logits});
  refused_verify(verify(kSmall) + Arguments{"--backward"} + against, 3, "has no targets y");
}

TEST_CASE("verify --backward: meshes that do not divide are left out, with the reason") {
  // 2 positions over tp 3 under SP, and 4 sequences over 3 replicas.
  const Arguments arguments =
      verify({"--backward", "--preset", "nano-cpu", "--uneven", "--tp", "3", "--seq", "2", "--dp",
              "1,3", "--steps", "0", "--dtype", "f64"});
  const Ran ran = tplab(arguments);
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
  const std::string text = in_one_line(ran.out);
  CHECK_THAT(text, Contains("left out, as sequence parallelism splits 2 positions over 3 ranks, "
                            "which do not divide: tp 3, dp 1, SP; tp 3, dp 1, SP, gathered again"));
  CHECK_THAT(text, Contains("left out, as a batch of 4 sequences does not divide by 3 replicas"));
  CHECK_THAT(text, Contains("verified, but for the meshes left out"));
  const json doc = tplab(arguments + Arguments{"--json"}).json();
  CHECK(doc["good"] == true);
  CHECK(doc["left_out"].size() == 2 + 9);
  CHECK(doc["runs"].size() == 2);
  CHECK(doc["left_out"][0]["sp"] == true);
  CHECK_THAT(doc["left_out"][0]["why"].get<std::string>(), Contains("2 positions over 3 ranks"));
}

TEST_CASE("verify: what does not fit in memory is refused at once, backward as forward") {
  const Arguments many = {"--preset", "nano-cpu", "--batch", "999999999", "--tp", "1"};
  refused_verify(verify(many), 4, "needs about");
  refused_verify(verify(many) + Arguments{"--backward", "--dp", "1", "--steps", "1"}, 4,
                 "needs about");
  refused_verify(verify({"--backward", "--preset", "nano-cpu", "--tp", "1", "--dp", "1", "--seq",
                         "1", "--batch", "1000", "--steps", "2147483647"}),
                 4, "needs about");
}

TEST_CASE("verify: options that would do nothing are refused") {
  refused_verify(verify(kSmall) + Arguments{"--dp", "2"}, 2, "--backward");
  refused_verify(verify(kSmall) + Arguments{"--steps", "2"}, 2, "--backward");
  const TemporaryFolder folder;
  const std::string path = write_golden(
      folder, {ids("x", {1, 1}, {0}), ids("y", {1, 1}, {1}), doubles("loss", {1}, {4})});
  for (const char* option : {"--batch", "--seq"})
    refused_verify(verify(kSmall) + Arguments{"--against", path, option, "2"}, 2, option);
  refused_verify(verify(kSmall) + Arguments{"--backward", "--against", path, "--steps", "2"}, 2,
                 "--steps");
  refused_verify(verify(kSmall) + Arguments{"--backward", "--device", "cuda"}, 4, "cuda");
}

TEST_CASE("verify: every column of its tables is explained below it, in 60 columns") {
  const Ran forward = tplab(verify(kSmall) + Arguments{"--seq", "4"});
  const Ran backward =
      tplab(verify(kSmall) + Arguments{"--backward", "--dp", "2", "--seq", "4", "--steps", "1"});
  for (const char* word : {"sites ", "error ", "bound ", "decode ", "replicas ", "collectives ",
                           "payload ", "sent by rank 0 ", "of the model "})
    CHECK_THAT(forward.out, Contains(std::string("\n") + word));
  for (const char* word : {"gradients ", "bound ", "losses ", "norms ", "after 1 ", "replicas ",
                           "collectives ", "payload ", "rank 0 sends "})
    CHECK_THAT(backward.out, Contains(std::string("\n") + word));
}

TEST_CASE("verify: the cases of right models that were called wrong are right") {
  const std::string narrow = a_case("hostile/03-false-alarms-small-models");
  const std::string zeros = a_case("hostile/04-backward-zero-gradient");
  if (narrow.empty() || zeros.empty()) return;
  const auto is_right = [](const Arguments& arguments) {
    const Ran ran = tplab(verify(arguments));
    INFO(ran.out << ran.err);
    CHECK(ran.exit_code == 0);
  };
  for (const auto& [model, seed] : {std::pair("/model-C16-T16", "38"), {"/model-C32-T1", "41"}})
    is_right({"--checkpoint", narrow + model, "--tp", "1,2,4", "--seed", seed});
  const Arguments one_step = {"--backward", "--tp", "1", "--dp", "1", "--steps", "1"};
  is_right(one_step + Arguments{"--checkpoint", zeros + "/model"});
  is_right(one_step + Arguments{"--checkpoint",
                                std::string(TPLAB_SOURCE_DIR) + "/tests/fixtures/nanogpt-tiny",
                                "--batch", "1", "--seq", "1"});
}

// Weights so large that softmax is all or nothing, and gradients are what rounding leaves.
TEST_CASE("verify --backward: a norm that rounding may make anything is said to be not judged") {
  const TemporaryFolder folder;
  std::filesystem::copy(fixture("gpt2-tiny"), folder / "model");
  edit(folder / "model/model.safetensors", [](const json& header, std::string& data) {
    for (const auto& [tensor, info] : header.items()) {
      if (!tensor.ends_with("attn.c_attn.weight")) continue;
      for (size_t at = info["data_offsets"][0]; at < info["data_offsets"][1]; at += 4) {
        float value = 0;
        std::memcpy(&value, data.data() + at, 4);
        value *= 3e5f;
        std::memcpy(data.data() + at, &value, 4);
      }
    }
  });
  const Arguments large = verify({"--backward", "--checkpoint", folder / "model", "--tp", "2",
                                  "--dp", "1", "--steps", "1", "--seq", "16"});
  const Ran text = tplab(large);
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.out, Contains("not judged, as rounding may make as much of it as it is itself:\n"
                                "  step 1/norm (f32)\n"));
  const json results = tplab(large + Arguments{"--json"}).json()["runs"].back()["results"];
  for (const json& r : results) CHECK(r["bound_max_abs"].is_null() == (r["name"] == "step 1/norm"));
}

TEST_CASE("verify: of the tp that nobody asked for, what does not divide is left out, and said") {
  const std::string three_heads = shared_data("gpt-nano-sort");
  if (three_heads.empty()) return;
  const Ran ran = tplab(verify({"--checkpoint", three_heads, "--json"}));
  CHECK(ran.exit_code == 0);
  CHECK(ran.json()["runs"].size() == 2);  // tp 1 in f64 and f32
  CHECK_THAT(ran.err, Contains("note: tp 2 is left out: ") && Contains("note: tp 4 is left out: "));
  CHECK(tplab(verify({"--checkpoint", three_heads, "--tp", "1,2"})).exit_code == 2);
}

TEST_CASE("verify: an option of --backward alone says so") {
  refused_verify(verify(kSmall) + Arguments{"--steps", "3"}, 2,
                 "--steps is of use with --backward");
}

TEST_CASE("verify --trace: a run is written, and another is held against it") {
  const TemporaryFolder folder;
  const std::string path = folder / "trace.jsonl";
  const Arguments small = verify(kSmall) + Arguments{"--seq", "8"};
  const Arguments against = small + Arguments{"--trace-against", path};
  const Ran written = tplab(small + Arguments{"--trace", path});
  CHECK(written.exit_code == 0);
  CHECK_THAT(written.err, Contains("wrote " + path) && Contains("--trace-against"));
  const Ran same = tplab(against);
  CHECK(same.exit_code == 0);
  CHECK_THAT(same.out, Contains("the same run as " + path + " (cpu, threads): 1 run, ") &&
                           Contains(" values, too") && Contains("\nverified\n"));
  CHECK(tplab(against + Arguments{"--json"}).json()["trace"]["difference"].is_null());
  // Written again while it is compared: the same file, to the byte.
  const std::string again = folder / "again.jsonl";
  CHECK(tplab(against + Arguments{"--trace", again}).exit_code == 0);
  const std::string text = file_text(path);
  CHECK(file_text(again) == text);

  // Another value at one site: what a run on another device may have.
  const size_t line = text.find("[\"block 1/mlp\",\"all_reduce\"");
  REQUIRE(line != text.npos);
  std::string changed = text;
  char& digit = changed[changed.find('\n', line) - 3];
  digit = digit == '0' ? '1' : '0';
  write_file(path, changed);
  const Ran differs = tplab(against);
  CHECK(differs.exit_code == 1);
  CHECK_THAT(in_one_line(differs.out),
             Contains("tp 2, dp 1, f64: rank 0 first differs from " + path +
                      " (cpu, threads) in number ") &&
                 Contains(", at block 1/mlp here all_reduce of 2048 f64 at block 1/mlp, with other "
                          "bits there all_reduce of 2048 f64 at block 1/mlp NOT verified: tplab "
                          "agrees with its reference, but this run is not the trace's"));
  const json difference = tplab(against + Arguments{"--json"}).json()["trace"]["difference"];
  CHECK(difference["site"] == "block 1/mlp");
  CHECK(difference["in_values"] == true);

  write_file(path, text.substr(0, text.size() / 2));
  refused_verify(against, 3, "the trace is cut short here");
  refused_verify(small + Arguments{"--trace-against", fixture("nanogpt-tiny") + "/ckpt.pt"}, 3,
                 "not JSON, but");
  write_file(path, text);
  refused_verify(verify({"--preset", "nano-cpu", "--tp", "4", "--dtype", "f64", "--seq", "8",
                         "--trace-against", path}),
                 2, "has no run of (tp 4, dp 1, f64), but of (tp 2, dp 1, f64)");
  refused_verify(against + Arguments{"--seed", "7", "--algorithm", "ring"}, 2,
                 "--algorithm direct (here: ring), --seed 1337 (here: 7)");
}

TEST_CASE("verify --trace: the file is none that the command reads, nor -o's") {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  const Arguments small = verify(kSmall);
  refused_verify(small + Arguments{"--trace", path, "-o", path}, 2, "-o and --trace name one file");
  write_file(path, "a");
  refused_verify(small + Arguments{"--trace", path, "--trace-against", path}, 2,
                 "--trace names " + path + ", which the command reads");
  const std::string checkpoint = fixture("nanogpt-tiny") + "/ckpt.pt";
  refused_verify(verify({"--checkpoint", checkpoint, "--trace", checkpoint}), 2, "--trace names ");
  refused_verify(small + Arguments{"--trace", folder / "none/a"}, 2, "could not be written");
}

}  // namespace
}  // namespace tplab
