// tplab train: nothing that a run has saved is lost, whatever its files are called and wherever
// they go, and the best of it is kept beside the last.
#include <catch2/catch.hpp>

#include "model/checkpoints/tplab_checkpoint.h"
#include "train_runs.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;
using namespace testing;
using Catch::Contains;
using nlohmann::json;

std::string best(const std::string& folder) { return folder + "/best.safetensors"; }
std::string results(const std::string& folder) { return folder + "/results_tp1_dp1.json"; }

// Few letters in no order: what is learned of its beginning is wrong of its end.
std::string noise(int count) {
  std::string text;
  uint32_t state = 1;
  for (int i = 0; i < count; ++i) {
    state = state * 1664525 + 1013904223;
    text += static_cast<char>('a' + (state >> 24) % 8);
  }
  return text;
}

std::string tokens(int count) {  // of two bytes
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += {static_cast<char>(i * i % 90), '\0'};
  return bytes;
}

TEST_CASE("train: a run in a folder that holds another keeps it, however often") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  std::vector<std::string> checkpoints, all_results;
  const std::vector<std::string> kept = {out + "/earlier", out + "/earlier-2", out + "/earlier-3"};
  for (int run = 0; run < 4; ++run) {
    const std::string steps = std::to_string(2 + run);
    const Ran ran = trained(tiny(out, {"--steps", steps, "--no-sample"}));
    if (run > 0) {
      const std::string& where = kept[static_cast<size_t>(run - 1)];
      CHECK_THAT(ran.err, Contains("holds an earlier run: it will be kept in " + where + "\n"));
      CHECK_THAT(ran.out, Contains("the earlier run is in " + where + "\n"));
    }
    checkpoints.push_back(file_text(checkpoint(out)));
    all_results.push_back(file_text(results(out)));
  }
  for (size_t run = 0; run < 3; ++run) {
    CAPTURE(run);
    CHECK((file_text(checkpoint(kept[run])) == checkpoints[run]));
    CHECK((file_text(best(kept[run])) == checkpoints[run]));
    CHECK(file_text(results(kept[run])) == all_results[run]);
  }
  // Each is a run that goes on.
  trained({"train", "--resume", kept[1], "--steps", "4", "--no-sample"});
  CHECK(steps_done(kept[1]) == 4);
  CHECK((file_text(checkpoint(out)) == checkpoints[3]));
}

TEST_CASE("train: a run that fails before its first save leaves the earlier one where it was") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string before = file_text(checkpoint(out));
  const Ran wild = tplab(tiny(out, {"--steps", "4", "--lr", "1e30", "--warmup", "0"}));
  CHECK(wild.exit_code == 2);
  CHECK_THAT(wild.err, Contains("nothing was saved yet"));
  CHECK((file_text(checkpoint(out)) == before));
  CHECK(fs::exists(results(out)));
  CHECK_FALSE(fs::exists(out + "/earlier"));
}

TEST_CASE("train: a resumed run replaces its checkpoint, and no results") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string first = file_text(results(out));
  for (const char* steps : {"3", "4"}) {
    const Ran ran = trained({"train", "--resume", out, "--steps", steps, "--no-sample"});
    CHECK_THAT(ran.err, !Contains("earlier"));
  }
  CHECK(file_text(results(out)) == first);
  CHECK(json::parse(file_text(out + "/results_tp1_dp1-2.json"))["steps"][0]["step"] == 2);
  CHECK(json::parse(file_text(out + "/results_tp1_dp1-3.json"))["steps"][0]["step"] == 3);
}

// A run that learns noise by heart.
Ran overfitted(const std::string& out, const TemporaryFolder& folder, const Arguments& more) {
  write_file(folder / "noise", noise(400));
  return trained(
      tiny(out, Arguments{"--text", folder / "noise", "--eval-interval", "10", "--eval-batches",
                          "4", "--decay-steps", "400", "--lr", "3e-2"} +
                    more));
}

TEST_CASE("train: the weights of the lowest val loss are kept beside the last") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const Ran ran = overfitted(out, folder, {"--steps", "200", "--json"});
  const json doc = ran.json();
  json lowest = doc["evaluations"][0];
  for (const json& e : doc["evaluations"])
    if (e["val_loss"] < lowest["val_loss"]) lowest = e;
  REQUIRE(lowest["step"] < 200);
  CHECK(doc["checkpoints"]["best"] == json{{"file", "best.safetensors"},
                                           {"step", lowest["step"]},
                                           {"val_loss", lowest["val_loss"]}});
  CHECK(doc["checkpoints"]["last"] == json{{"file", "ckpt.safetensors"},
                                           {"step", 200},
                                           {"val_loss", doc["evaluations"].back()["val_loss"]}});
  const TplabCheckpoint kept(best(out)), last(checkpoint(out));
  CHECK(kept.step() == lowest["step"]);
  CHECK(kept.val_loss() == lowest["val_loss"].get<double>());
  CHECK(last.step() == 200);
  CHECK(last.best_val_loss() == kept.val_loss());

  // The same bits as of a run that ended there.
  overfitted(folder / "short", folder, {"--steps", std::to_string(kept.step())});
  const SafetensorsFile a(best(out)), b(checkpoint(folder / "short"));
  for (const TensorInfo& tensor : b.tensors())
    CHECK((a.read_doubles(tensor.name) == b.read_doubles(tensor.name)));
}

TEST_CASE("train: says which weights are the best, and when the val loss has stopped falling") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  const Ran ran = overfitted(out, folder, {"--steps", "200"});
  const std::string step = std::to_string(TplabCheckpoint(best(out)).step());
  CHECK_THAT(ran.out, Contains("saved " + best(out) + ": the best, step " + step + ", val loss "));
  CHECK_THAT(ran.out, Contains("saved " + checkpoint(out) + ": the last, step 200\n"));
  CHECK_THAT(ran.err, Contains("the val loss has not fallen since step "));
  const Ran good = trained(tiny(folder / "good", {"--steps", "4", "--eval-interval", "1"}));
  CHECK_THAT(good.err, !Contains("has not fallen"));
  CHECK_THAT(good.out, Contains(": the last, step 4, the best so far\n"));
}

TEST_CASE(
    "a run's folder is its best weights, its file the last, and --resume goes on from these") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  overfitted(out, folder, {"--steps", "200"});
  const auto source = [](const std::string& path) {
    return tplab({"info", "--checkpoint", path, "--json"}).json()["source"].get<std::string>();
  };
  CHECK_THAT(source(out), Contains("best.safetensors"));
  CHECK_THAT(source(checkpoint(out)), Contains("ckpt.safetensors, step 200"));
  const Arguments write = {"generate", "--prompt", "a", "--max-new", "8", "--greedy"};
  CHECK(tplab(write + Arguments{"--checkpoint", out}).out ==
        tplab(write + Arguments{"--checkpoint", best(out)}).out);
  CHECK(tplab({"verify", "--checkpoint", out, "--tp", "2", "--seq", "4"}).exit_code == 0);

  const std::string kept = file_text(best(out));
  trained({"train", "--resume", out, "--steps", "210", "--no-sample"});
  CHECK(steps_done(out) == 210);
  CHECK((file_text(best(out)) == kept));  // 210 was worse
  // From the best on: the later steps stay too.
  const std::string last = file_text(checkpoint(out));
  trained({"train", "--resume", best(out), "--steps", "200", "--no-sample"});
  CHECK(steps_done(out) == 200);
  CHECK((file_text(checkpoint(out + "/earlier")) == last));
}

TEST_CASE("train: files may be called anything, and a run finds them again", "[slow]") {
  for (const std::string name : {"caf\xe9", "two\nlines", "a \"quoted\" name", "it's",
                                 "\x1b[31mred", "\xff\xfe\x80", "100%41", "bytes:x", "naïve"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const std::string place = folder / name, out = place + "/run " + name;
    fs::create_directories(place + "/data");
    for (const char* file : {"vocab.json", "merges.txt"})
      fs::copy_file(fixture("gpt2-tiny/") + file, place + "/" + file);
    write_file(place + "/" + name, noise(400));
    write_file(place + "/data/train.bin", tokens(400));
    write_file(place + "/data/val.bin", tokens(100));
    const auto resumed = [&](const std::string& run) {
      const Ran ran = trained({"train", "--resume", run, "--steps", "3", "--json", "--no-sample"});
      CHECK(ran.json()["steps"].size() == 1);
      CHECK(steps_done(run) == 3);
      return ran;
    };
    trained(tiny(out, {"--steps", "2", "--text", place + "/" + name}));
    json options = resumed(out).json()["config"]["options"];
    CHECK(options["steps"] == 3);
    trained(tiny(out + "2", {"--steps", "2", "--text", place + "/" + name, "--tokenizer", place}));
    resumed(out + "2");
    CHECK(tplab({"generate", "--checkpoint", out + "2", "--prompt", "a", "--max-new", "2"})
              .exit_code == 0);
    trained(tiny(out + "3", {"--steps", "2", "--data", place + "/data"}));
    resumed(out + "3");
    trained({"train", "--checkpoint", out, "--text", place + "/" + name, "--out", out + "4",
             "--steps", "2", "--eval-batches", "1", "--no-sample"});
    resumed(out + "4");
    // Every command says its path in JSON that can be read.
    for (const Arguments& command :
         {Arguments{"info"}, Arguments{"verify", "--tp", "2", "--seq", "4"},
          Arguments{"generate", "--prompt", "a", "--max-new", "2"}})
      tplab(command + Arguments{"--checkpoint", out, "--json"}).json();
    tplab({"export", "--checkpoint", out, "--json", "-o", place + "/exported"}).json();
    CHECK(tplab({"trace", "--checkpoint", out, "-o", place + "/trace.json"}).exit_code == 0);
    CHECK_FALSE(json::parse(file_text(place + "/trace.json"), nullptr, false).is_discarded());
  }
}

TEST_CASE("train: a run that moved with its text and its tokenizer finds both") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "a");
  for (const char* file : {"vocab.json", "merges.txt"})
    fs::copy_file(fixture("gpt2-tiny/") + file, folder / (std::string("a/") + file));
  write_file(folder / "a/input.txt", noise(400));
  const std::string begin = "cd " + folder / "a" + " && ";
  std::string command = "$TPLAB";
  for (const std::string& argument :
       tiny("run", {"--steps", "2", "--text", "input.txt", "--tokenizer", ".", "--no-sample"}))
    command += " " + argument;
  REQUIRE(shell(begin + command).exit_code == 0);
  fs::rename(folder / "a", folder / "b");
  const std::string run = folder / "b/run";
  const auto goes_on = [&](const std::string& line, int64_t steps) {
    const Ran ran = shell(line + " --no-sample --steps " + std::to_string(steps));
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK(steps_done(run) == steps);
  };
  goes_on("cd / && $TPLAB train --resume " + run, 3);
  goes_on("cd " + folder / "b" + " && $TPLAB train --resume run --tokenizer .", 4);
  CHECK(tplab({"generate", "--checkpoint", run, "--prompt", "ab", "--max-new", "2"}).exit_code ==
        0);
  // Without its neighbours, it has to be told.
  fs::rename(run, folder / "run");
  fs::rename(folder / "b", folder / "c");
  const Ran lost = tplab({"train", "--resume", folder / "run", "--steps", "5", "--no-sample"});
  CHECK(lost.exit_code == 3);
  CHECK_THAT(lost.err, Contains("--tokenizer PATH"));
  trained({"train", "--resume", folder / "run", "--steps", "5", "--no-sample", "--tokenizer",
           folder / "c", "--text", folder / "c/input.txt"});
  CHECK(steps_done(folder / "run") == 5);
}

TEST_CASE("train: a tokenizer by which a resumed run's ids would mean other things is refused") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  write_file(folder / "text", noise(400));
  trained(tiny(out, {"--steps", "2", "--text", folder / "text"}));
  const Ran other = tplab(
      {"train", "--resume", out, "--steps", "3", "--tokenizer", fixture("nanogpt-tiny/meta.pkl")});
  CHECK(other.exit_code == 2);
  CHECK_THAT(other.err, Contains("is not what the run learned with: token 0 is 'a' there and "));
  trained({"train", "--resume", out, "--steps", "3", "--no-sample", "--tokenizer", out});
}

TEST_CASE("train: the run of case 08 goes on where it was moved to") {
  const std::string data = shared_data("cases/08-moved-run");
  if (data.empty()) return;
  const TemporaryFolder folder;
  fs::copy(data, folder / "a");
  const std::string train = "$TPLAB train --no-sample ";
  REQUIRE(shell("cd " + folder / "a" + " && " + train +
                "--text input.txt --tokenizer . --layers 1 --heads 2 --width 8 --block 8 --batch 4 "
                "--steps 2 --out run")
              .exit_code == 0);
  fs::rename(folder / "a", folder / "b");
  const Ran ran =
      shell("cd " + folder / "b" + " && " + train + "--resume run --steps 4 --tokenizer .");
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
  CHECK(steps_done(folder / "b/run") == 4);
}

}  // namespace
}  // namespace tplab
