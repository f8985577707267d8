// tplab train: what it leaves behind, and that a run that was cut off goes on as if it had not
// been.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "model/checkpoints/tplab_checkpoint.h"
#include "train_runs.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;
using std::chrono::milliseconds;

// Everything that the checkpoint of a run is a function of, but the mesh.
const Arguments kVaried = {"--dropout",       "0.1", "--accumulate", "2", "--bias",
                           "--eval-interval", "3"};
const Arguments kMesh = {"--tp", "2", "--dp", "2", "--sp", "--zero", "2"};

TEST_CASE("train: with no file at all it learns tplab's documentation") {
  const TemporaryFolder folder;
  const std::string out = folder / "new/run";
  const Ran ran = trained(tiny(out, {"--steps", "40", "--lr", "3e-2", "--decay-steps", "40"}));
  CHECK_THAT(ran.err,
             Contains("training on tplab's documentation") && Contains("step 40: train loss"));
  CHECK_THAT(ran.out, Contains("saved " + checkpoint(out)) && Contains("tokens a second"));
  const json steps = json::parse(file_text(out + "/results_tp1_dp1.json"))["steps"];
  REQUIRE(steps.size() == 40);
  // Untrained, every character is as likely as the others: log 65 and more. 40 steps of this take
  // more than half a nat off, several times what batches differ by.
  CHECK(steps[0]["loss"] > 4.0);
  CHECK(steps[39]["loss"].get<double>() < steps[0]["loss"].get<double>() - 0.5);
  CHECK(steps_done(out) == 40);
}

TEST_CASE("train: a text is continued at the end, whatever its characters are") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) text += i % 3 ? "ab" : "é";
  write_file(folder / "text", text);
  const Ran ran = trained(tiny(folder / "run", {"--steps", "2", "--text", folder / "text"}));
  CHECK_THAT(ran.err, Contains("3 characters"));
  const std::string sample = ran.out.substr(ran.out.find("a sample:\n") + 10);
  CHECK(sample.size() >= 200);
  CHECK(sample.find_first_not_of("abé\n") == std::string::npos);
}

TEST_CASE("train: the results file has the steps, the summary and every rank") {
  const TemporaryFolder folder;
  const Ran ran = trained(tiny(
      folder / "run", {"--steps", "6", "--tp", "2", "--dp", "2", "--warmup-steps", "2", "--json"}));
  const json doc = ran.json();
  json results = doc;  // without what says how it was called
  for (const char* key : {"schema", "version", "command", "options"}) results.erase(key);
  CHECK(results == json::parse(file_text(folder / "run/results_tp2_dp2.json")));
  CHECK(doc["config"]["tp"] == 2);
  CHECK(doc["config"]["world_size"] == 4);
  CHECK(doc["config"]["model"]["n_embd"] == 16);
  CHECK(doc["config"]["options"]["steps"] == 6);
  REQUIRE(doc["steps"].size() == 6);
  for (size_t i = 0; i < 6; ++i) {
    const json& step = doc["steps"][i];
    CHECK(step["step"] == i);
    for (const char* key :
         {"loss", "step_time_s", "forward_time_s", "backward_time_s", "optimizer_time_s",
          "tokens_per_sec", "samples_per_sec", "memory_allocated_gb", "memory_peak_gb"}) {
      CAPTURE(key);
      CHECK(step.at(key) > 0.0);
    }
    // 4 sequences of 16 tokens.
    CHECK(step["tokens_per_sec"].get<double>() ==
          Approx(16 * step["samples_per_sec"].get<double>()));
  }
  const json& summary = doc["summary"];
  CHECK(summary["measured_steps"] == 4);
  CHECK(summary["final_loss"] == doc["steps"][5]["loss"]);
  CHECK(summary["ranks"].size() == 4);
  CHECK(summary["communication"]["dp_bytes"] > 0);
  CHECK(doc["evaluations"].back()["step"] == 6);
  const json& activations = doc["activations"];
  CHECK(activations["measured_bytes"] > 0);
  CHECK(activations["measured_bytes"] == activations["predicted_bytes"]);
  CHECK(activations["kept_whole_bytes"] == activations["predicted_bytes"]);
  CHECK(activations["paper_bytes"] > 0);
}

TEST_CASE("train: what --recompute saves is measured, and is what was predicted") {
  const TemporaryFolder folder;
  const auto kept = [&](const Arguments& options) {
    const Ran ran = trained(
        tiny(folder / "run", Arguments{"--steps", "2", "--layers", "3", "--json"} + options));
    return ran.json()["activations"];
  };
  const json whole = kept({}), recomputed = kept({"--recompute"});
  CHECK(recomputed["measured_bytes"] == recomputed["predicted_bytes"]);
  CHECK(recomputed["measured_bytes"] < whole["measured_bytes"]);
  CHECK(recomputed["kept_whole_bytes"] == whole["measured_bytes"]);
  CHECK_THAT(trained(tiny(folder / "run", {"--steps", "2", "--recompute"})).out,
             Contains("; without --recompute "));
}

TEST_CASE("train: 3 steps and 3 more are the same bytes as 6") {
  const TemporaryFolder folder;
  const Arguments bf16 = {"--dtype", "bf16"};
  for (const Arguments& mesh : {Arguments{}, kMesh, bf16 + kMesh}) {
    trained(tiny(folder / "straight", kVaried + mesh + Arguments{"--steps", "6"}));
    trained(tiny(folder / "run", kVaried + mesh + Arguments{"--steps", "3"}));
    CHECK(steps_done(folder / "run") == 3);
    const Ran ran = trained({"train", "--resume", folder / "run", "--steps", "6", "--no-sample"});
    CHECK(steps_done(folder / "run") == 6);
    CHECK((file_text(checkpoint(folder / "run")) == file_text(checkpoint(folder / "straight"))));
  }
}

TEST_CASE("train: in bf16 the masters are saved, which verify and generate round") {
  const TemporaryFolder folder;
  trained(tiny(folder / "run", kVaried + Arguments{"--dtype", "bf16", "--steps", "2"}));
  CHECK(tplab({"info", "--checkpoint", folder / "run", "--json"}).json()["stored_dtype"] == "f32");
  CHECK(tplab({"verify", "--checkpoint", folder / "run", "--tp", "1,2", "--dtype", "bf16"})
            .exit_code == 0);
  CHECK(tplab({"generate", "--checkpoint", folder / "run", "--prompt", "to", "--tp", "2", "--dtype",
               "bf16", "--max-new", "4"})
            .exit_code == 0);
}

TEST_CASE("train: a run goes on in its own folder, or in the one that --out names") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string before = file_text(checkpoint(out));
  trained({"train", "--resume", out, "--steps", "3", "--out", folder / "other", "--no-sample"});
  CHECK((file_text(checkpoint(out)) == before));
  CHECK(steps_done(folder / "other") == 3);
  // The run's file, from elsewhere.
  const Ran ran = shell("cd / && $TPLAB train --resume " + checkpoint(out) + " --steps 3");
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
  CHECK(steps_done(out) == 3);
  CHECK((file_text(checkpoint(out)) == file_text(checkpoint(folder / "other"))));
}

TEST_CASE("train: a resumed run keeps its characters, whatever the new text begins with") {
  const TemporaryFolder folder;
  std::string text, other;
  for (int i = 0; i < 300; ++i) text += "abcdefg"[i % 7];
  for (int i = 0; i < 300; ++i) other += "gfe"[i % 3];  // a vocabulary of its own would have three
  write_file(folder / "text", text);
  write_file(folder / "other", other);
  trained(tiny(folder / "run", {"--steps", "2", "--text", folder / "text"}));
  const std::string meant = SafetensorsFile(checkpoint(folder / "run")).metadata().at("tokenizer");
  trained({"train", "--resume", folder / "run", "--text", folder / "other", "--steps", "3"});
  CHECK(SafetensorsFile(checkpoint(folder / "run")).metadata().at("tokenizer") == meant);
  write_file(folder / "other", other + "z");
  CHECK(tplab({"train", "--resume", folder / "run", "--text", folder / "other", "--steps", "4"})
            .exit_code == 3);
}

TEST_CASE("train: a resumed run does not need its tokenizer's file any more") {
  const TemporaryFolder folder;
  const std::string tokenizer = folder / "meta.pkl";
  std::filesystem::copy_file(fixture("nanogpt-tiny/meta.pkl"), tokenizer);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "To be, or not to be\n";
  write_file(folder / "text", text);
  trained(
      tiny(folder / "run", {"--steps", "2", "--tokenizer", tokenizer, "--text", folder / "text"}));
  std::filesystem::remove(tokenizer);
  trained({"train", "--resume", folder / "run", "--steps", "3"});
}

TEST_CASE("train: messages that nobody can read cost nothing") {
  const TemporaryFolder folder;
  const Ran ran =
      shell("$TPLAB train --layers 1 --width 16 --heads 2 --steps 2 --no-sample --out " +
            folder / "run" + " 2>/dev/full");
  CHECK(ran.exit_code == 0);
  CHECK(steps_done(folder / "run") == 2);
}

TEST_CASE("train: a run goes on at another mesh, within rounding") {
  const TemporaryFolder folder;
  const Arguments f64 = kVaried + Arguments{"--dtype", "f64"};
  trained(tiny(folder / "straight", f64 + Arguments{"--steps", "6"}));
  trained(tiny(folder / "split", f64 + kMesh + Arguments{"--steps", "3"}));
  trained({"train", "--resume", folder / "split", "--steps", "6", "--tp", "1", "--dp", "1",
           "--no-sp", "--zero", "0", "--no-sample"});
  trained(tiny(folder / "whole", f64 + Arguments{"--steps", "3"}));
  trained(Arguments{"train", "--resume", folder / "whole", "--steps", "6", "--no-sample"} + kMesh);
  // A gradient, at most 1, differs by some 1e-16 between meshes; AdamW divides by no less than eps,
  // so a step differs by at most lr 1e-16 / 1e-8 = 1e-10, and 6 of them, with weights of 0.01 and
  // more in every tensor, by 6e-8. A step that did not resume would differ by lr.
  CHECK(largest_difference(folder / "straight", folder / "split") <= 6e-8);
  CHECK(largest_difference(folder / "straight", folder / "whole") <= 6e-8);
}

TEST_CASE("train: ranks with unequal parts save and go on as any other mesh") {
  const TemporaryFolder folder;
  const Arguments f64 = kVaried + Arguments{"--dtype", "f64", "--heads", "3", "--width", "24"};
  const Arguments uneven = {"--tp", "2", "--uneven", "--dp", "2", "--sp", "--zero", "2"};
  trained(tiny(folder / "straight", f64 + Arguments{"--steps", "6"}));
  trained(tiny(folder / "kept", f64 + uneven + Arguments{"--steps", "3"}));
  trained({"train", "--resume", folder / "kept", "--steps", "6"});  // as before, with a sample
  trained(tiny(folder / "left", f64 + uneven + Arguments{"--steps", "3"}));
  trained({"train", "--resume", folder / "left", "--steps", "6", "--tp", "3", "--dp", "1",
           "--no-sp", "--zero", "0", "--no-uneven", "--no-sample"});
  // As above.
  CHECK(largest_difference(folder / "straight", folder / "kept") <= 6e-8);
  CHECK(largest_difference(folder / "straight", folder / "left") <= 6e-8);
}

// Until the run has printed `what`, or 60 s.
void wait_for(const Started& run, const std::string& what) {
  for (int i = 0; i < 6000 && run.err().find(what) == std::string::npos; ++i)
    std::this_thread::sleep_for(milliseconds(10));
  REQUIRE_THAT(run.err(), Contains(what));
}

TEST_CASE("train: Ctrl-C and SIGTERM save, say how to go on, and nothing is lost") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const TemporaryFolder folder;
    const std::string out = folder / "run";
    Started run =
        start_tplab(tiny(out, {"--steps", "1000000", "--eval-interval", "50", "--tp", "2"}));
    wait_for(run, "step 50:");
    run.send(signal);
    const Ran ran = run.wait();
    CHECK(ran.exit_code == 128 + signal);
    CHECK_THAT(ran.out, Contains("Other commands read the best: tplab generate"));
    CHECK_THAT(ran.err, Contains("of 1000000 steps, all saved") &&
                            Contains("\n  tplab train --resume " + out + "\n"));
    const int64_t done = steps_done(out);
    CHECK_THAT(ran.err, Contains("stopped after " + std::to_string(done) + " of"));
    const json results = json::parse(file_text(out + "/results_tp2_dp1.json"));
    CHECK(results["steps"].size() == static_cast<size_t>(done));
    const std::string two_more = std::to_string(done + 2);
    trained({"train", "--resume", out, "--steps", two_more, "--no-sample"});
    trained(tiny(folder / "straight", {"--steps", two_more, "--eval-interval", "50", "--tp", "2"}));
    CHECK((file_text(checkpoint(out)) == file_text(checkpoint(folder / "straight"))));
  }
}

TEST_CASE("train: a folder that another run writes to is refused, and free when that has ended") {
  const TemporaryFolder folder;
  const std::string out = folder / "it's a run";
  Started first = start_tplab(tiny(out, {"--steps", "1000000", "--eval-interval", "50"}));
  wait_for(first, "step 50:");
  const Ran second = tplab(tiny(out, {"--steps", "2"}));
  CHECK(second.exit_code == 2);
  CHECK_THAT(second.err, Contains("another run is at work there") && Contains("--out"));
  first.send(SIGHUP);  // its terminal is closed
  const Ran ended = first.wait();
  CHECK(ended.exit_code == 128 + SIGHUP);
  CHECK_THAT(ended.err,
             Contains("--resume '" + (folder / "it'\\''s a run") + "'\n"));  // for a shell
  const int64_t done = steps_done(out);
  CHECK(done >= 50);
  trained({"train", "--resume", out, "--steps", std::to_string(done + 1), "--no-sample"});
}

TEST_CASE("train: killed at 200 random moments it always goes on, bit-identical", "[slow]") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const Arguments saving = {"--eval-interval", "1", "--dropout", "0.1"};
  const auto begun = std::chrono::steady_clock::now();
  trained(tiny(out, saving + Arguments{"--steps", "4"}));
  const auto four_steps = std::chrono::steady_clock::now() - begun;
  std::mt19937_64 random(1337);
  std::uniform_real_distribution<double> part(0, 2);
  int64_t last = 4;
  for (int kill_number = 0; kill_number < 200; ++kill_number) {
    CAPTURE(kill_number);
    Started run = start_tplab({"train", "--resume", out, "--steps", "1000000"});
    std::this_thread::sleep_for(part(random) * four_steps);
    run.send(SIGKILL);
    const Ran ran = run.wait();
    INFO(ran.err);
    REQUIRE(ran.exit_code == 128 + SIGKILL);  // it had not ended by itself
    const int64_t done = steps_done(out);
    REQUIRE(done >= last);
    last = done;
    // Whole too, and one that was evaluated.
    REQUIRE(std::isfinite(TplabCheckpoint(out + "/best.safetensors").val_loss()));
  }
  CHECK(last > 4);
  const std::string end = std::to_string(last + 1);
  trained({"train", "--resume", out, "--steps", end, "--no-sample"});
  trained(tiny(folder / "straight", saving + Arguments{"--steps", end}));
  CHECK((file_text(checkpoint(out)) == file_text(checkpoint(folder / "straight"))));
  // Its settings may name another end.
  const SafetensorsFile best(out + "/best.safetensors"),
      straight(folder / "straight/best.safetensors");
  CHECK(best.metadata().at("step") == straight.metadata().at("step"));
  for (const TensorInfo& tensor : straight.tensors())
    CHECK((best.read_doubles(tensor.name) == straight.read_doubles(tensor.name)));
}

TEST_CASE("train: goes on from nanoGPT's and Hugging Face's weights, with their tokenizers") {
  for (const std::string name : {"nanogpt-tiny", "gpt2-tiny"}) {
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; i < 200; ++i) text += "To be, or not to be " + std::to_string(i) + "\n";
    write_file(folder / "text", text);
    trained({"train", "--checkpoint", fixture(name), "--text", folder / "text", "--batch", "2",
             "--steps", "2", "--eval-batches", "1", "--out", folder / "run", "--tp", "2"});
    const Ran ran =
        tplab({"generate", "--checkpoint", folder / "run", "--prompt", "To be", "--max-new", "4"});
    CHECK(ran.exit_code == 0);
    CHECK(tplab({"verify", "--checkpoint", folder / "run", "--tp", "2", "--dtype", "f64"})
              .exit_code == 0);
  }
}

std::string token_bytes(int64_t count, int vocabulary) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    bytes += static_cast<char>(i * i % vocabulary);
    bytes += '\0';
  }
  return bytes;
}

TEST_CASE("train: options that do nothing on this mesh are noted") {
  const TemporaryFolder folder;
  const Ran one = trained(tiny(folder / "one", {"--steps", "1", "--sp", "--zero", "2"}));
  CHECK_THAT(one.err, Contains("note: --sp does nothing at --tp 1\n") &&
                          Contains("note: --zero 2 does nothing at --dp 1\n"));
  const Ran four = trained(
      tiny(folder / "four", {"--steps", "1", "--tp", "2", "--dp", "2", "--sp", "--zero", "2"}));
  CHECK_THAT(four.err, !Contains("does nothing"));
}

TEST_CASE("train: nanoGPT's token files, without a tokenizer and with one") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "data");
  write_file(folder / "data/train.bin", token_bytes(500, 90));
  write_file(folder / "data/val.bin", token_bytes(100, 90));
  const Ran plain =
      trained({"train", "--data", folder / "data", "--checkpoint", fixture("nanogpt-tiny/ckpt.pt"),
               "--steps", "2", "--batch", "2", "--eval-batches", "1", "--out", folder / "a"});
  CHECK_THAT(plain.err, Contains("500 tokens to learn and 100 to test"));
  std::filesystem::copy_file(fixture("nanogpt-tiny/meta.pkl"), folder / "data/meta.pkl");
  trained(tiny(folder / "b", {"--data", folder / "data", "--steps", "2"}));
  CHECK(tplab({"generate", "--checkpoint", folder / "b", "--prompt", "x", "--max-new", "2"})
            .exit_code == 0);
}

TEST_CASE("train: what is exported is what was trained") {
  const TemporaryFolder folder;
  trained(tiny(folder / "run", {"--steps", "2", "--bias"}));
  REQUIRE(tplab({"export", "--checkpoint", folder / "run", "-o", folder / "hf"}).exit_code == 0);
  const Ran ran =
      tplab({"verify", "--checkpoint", folder / "hf", "--tp", "1,2", "--dtype", "f64", "--json"});
  CHECK(ran.exit_code == 0);
  CHECK(ran.json()["good"] == true);
  const SafetensorsFile before(checkpoint(folder / "run")), after(folder / "hf/model.safetensors");
  CHECK(before.read_doubles("model.transformer.wte.weight") ==
        after.read_doubles("transformer.wte.weight"));
}

TEST_CASE("verify --backward: 0 when gradients and steps are right, as a document too") {
  const Arguments arguments = {"verify",  "--backward", "--checkpoint", fixture("nanogpt-tiny"),
                               "--tp",    "2",          "--dp",         "2",
                               "--steps", "1",          "--seq",        "8"};
  const Ran text = tplab(arguments);
  INFO(text.err);
  CHECK(text.exit_code == 0);
  const json doc = tplab(arguments + Arguments{"--json"}).json();
  CHECK(doc["good"] == true);
  REQUIRE(!doc["runs"].empty());
  for (const json& run : doc["runs"]) CHECK(run["good"] == true);
  CHECK(tplab({"verify", "--backward", "--preset", "nano-cpu", "--dp", "0"}).exit_code == 2);
}

}  // namespace
}  // namespace tplab
