// tplab train: what it refuses, with which exit code and advice, and that nothing is lost by it.
#include <catch2/catch.hpp>

#include "train_runs.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
namespace fs = std::filesystem;

void refused(const Arguments& arguments, int exit_code, const std::string& problem,
             const std::string& fix = "fix: ") {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments);
  CHECK(ran.exit_code == exit_code);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Contains(problem) && Contains(fix));
  CHECK(options_unknown_to(arguments, ran.err).empty());
}

TEST_CASE("train: a text or token file that cannot be learned is a bad file, and makes no folder") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", text = folder / "text", data = folder / "data";
  const auto with_text = [&](const std::string& content, const std::string& problem,
                             const std::string& fix) {
    write_file(text, content);
    refused(tiny(out, {"--text", text, "--steps", "2"}), 3, problem, fix);
  };
  with_text("abcabcabc", "a block of 16 needs 17", "a longer text, or a block of at most");
  with_text(std::string(100, 'a') + std::string(10, 'b'), "to be tested on (val) has 11", "longer");
  with_text(std::string(500, 'a'), "nothing to learn", "two different characters");
  with_text("some text \xff\xfe", "is not UTF-8: byte 10", "iconv");
  with_text("", "is empty", "give a text");
  refused(tiny(out, {"--text", folder / "absent"}), 3, "absent: cannot be opened");
  refused(tiny(out, {"--data", folder / "absent"}), 3, "absent");

  std::filesystem::create_directory(data);
  refused(tiny(out, {"--data", data}), 3, "a folder without train.bin", "val.bin");
  write_file(folder / "data/val.bin", std::string(200, '\0'));
  write_file(folder / "data/train.bin", std::string(201, '\0'));
  refused(tiny(out, {"--data", data}), 3, "has 201 bytes, which is no whole number of ids");
  write_file(folder / "data/train.bin", std::string(200, '\0') + "\xff\xff");
  refused(tiny(out, {"--data", data}), 3, "token 65535 (number 100, from 0) is outside");
  write_file(folder / "data/train.bin", std::string(200, '\0') + std::string("\x60\0", 2));
  refused({"train", "--data", data, "--checkpoint", fixture("nanogpt-tiny/ckpt.pt"), "--out", out},
          3, "token 96 (number 100, from 0) is outside the vocabulary of 96");
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("train: a model does not learn characters that its tokenizer has not") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "naïve ";
  write_file(folder / "text", text);
  const Arguments options = {"--text", folder / "text", "--out", folder / "run"};
  refused(Arguments{"train", "--checkpoint", fixture("nanogpt-tiny")} + options, 3, "ï");
  refused(tiny(folder / "run", {"--text", folder / "text", "--tokenizer", fixture("nanogpt-tiny")}),
          3, "ï");
  // GPT-2's ids, 264 of them, for a model that knows 96.
  write_file(folder / "text", std::string(500, 'x') + "yz");
  refused(Arguments{"train", "--checkpoint", fixture("nanogpt-tiny"), "--tokenizer",
                    fixture("gpt2-tiny")} +
              options,
          2, "the data has 264 tokens and the model knows 96", "--tokenizer PATH");
}

TEST_CASE("train: a mesh that does not fit is refused before anything is made") {
  const TemporaryFolder folder;
  const auto mesh = [&](const Arguments& options, const std::string& problem,
                        const std::string& fix) {
    refused(tiny(folder / "run", options), 2, problem, fix);
  };
  mesh({"--tp", "3"}, "n_head 2 does not divide by tp 3", "use --tp 1 or 2");
  mesh({"--tp", "65"}, "tp 65 is out of range", "1 to 64");
  mesh({"--tp", "2", "--dp", "33"}, "dp 33 is out of range at tp 2", "use 1 to 32");
  mesh({"--dp", "3"}, "4 sequences does not divide by 3 replicas", "a multiple of 3");
  mesh({"--dp", "2", "--accumulate", "4"}, "2 replicas and 4 micro-batches", "a multiple of 8");
  mesh({"--tp", "2", "--sp", "--seq", "15"}, "splits 15 positions over 2", "a multiple of 2");
  mesh({"--zero", "3"}, "no ZeRO stage 3", "0, 1 or 2");
  mesh({"--algorithm", "star"}, "star", "ring");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("train: a number out of its range is refused, NaN too") {
  const TemporaryFolder folder;
  const auto number = [&](const std::string& option, const std::string& value) {
    refused(tiny(folder / "run", {option, value}), 2, option + ": '" + value + "' is not a ");
  };
  for (const char* option : {"--lr", "--min-lr", "--weight-decay", "--grad-clip"})
    for (const char* value : {"-1", "nan", "inf"}) number(option, value);
  for (const char* option : {"--beta1", "--beta2", "--dropout"})
    for (const char* value : {"1", "-0.5", "nan"}) number(option, value);
  const auto other = [&](const Arguments& options, const std::string& problem) {
    refused(tiny(folder / "run", options), 2, problem);
  };
  other({"--seq", "17"}, "longer than the model's context of 16");
  other({"--heads", "3"}, "n_head 3 does not divide n_embd 16");
  other({"--steps", "0"}, "--steps");
  other({"--batch", "-4"}, "--batch");
  other({"--seed", "-1"}, "--seed");
  other({"--dtype", "f16"}, "f16");
  other({"--preset", "huge"}, "huge");
  other({"--text", "a", "--data", "b"}, "both --text and --data");
  other({"--checkpoint", fixture("nanogpt-tiny")}, "--layers describes a new model");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("train: numbers that overflow end the run by step and site, and the checkpoint stays") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string before = file_text(checkpoint(out));
  for (const Arguments& mesh : {Arguments{}, Arguments{"--tp", "2", "--dp", "2"}}) {
    const Arguments wild = Arguments{"train", "--resume", out} + mesh;
    refused(wild + Arguments{"--lr", "1e30", "--steps", "9", "--eval-interval", "0"}, 2,
            "step 3: the gradients' norm is not a finite number; first at ", "lower --lr");
    // A save would come first, of weights whose loss is finite still, and then of others.
    refused(wild + Arguments{"--lr", "1e30", "--steps", "3", "--decay-steps", "9"}, 2,
            "after step 2: transformer.wte.weight is so large that its squares overflow f32",
            "lower --lr");
    refused(wild + Arguments{"--lr", "1e60", "--steps", "3", "--decay-steps", "9"}, 2,
            "after step 2: the train loss is not a finite number; first at ", "lower --lr");
    CHECK((file_text(checkpoint(out)) == before));
  }
  trained({"train", "--resume", out, "--steps", "3"});

  const std::string fresh = folder / "fresh";  // a run that saved nothing leaves nothing
  const Arguments wild = {"--lr", "1e30", "--steps", "9", "--eval-interval", "0"};
  refused(tiny(fresh, wild), 2, "is not a finite number", "nothing was saved");
  CHECK_FALSE(std::filesystem::exists(fresh));
  std::filesystem::create_directory(fresh);  // the user's own stays
  refused(tiny(fresh, wild), 2, "is not a finite number", "nothing was saved");
  CHECK(std::filesystem::is_empty(fresh));
  refused(tiny(folder / "a/b/c/", wild), 2, "is not a finite number", "nothing was saved");
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
}

TEST_CASE("train: only a run of tplab's can be resumed, and only as the model that it is") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string before = file_text(checkpoint(out));
  const auto resume = [&](const std::string& run, const Arguments& more, int exit_code,
                          const std::string& problem, const std::string& fix) {
    refused(Arguments{"train", "--resume", run} + more, exit_code, problem, fix);
  };
  resume(fixture("nanogpt-tiny/ckpt.pt"), {}, 3, "is no training run", "--checkpoint");
  resume(fixture("gpt2-tiny"), {}, 3, "is no training run", "--checkpoint");
  resume(folder / "absent", {}, 3, "absent", "fix: ");
  resume(out, {}, 2, "has taken 2 steps already, and --steps 2 is no more", "--steps N");
  for (const auto& [option, value] : {std::pair{"--layers", "2"},
                                      {"--heads", "4"},
                                      {"--width", "32"},
                                      {"--block", "8"},
                                      {"--preset", "gpt2"},
                                      {"--checkpoint", "ckpt.pt"}})
    resume(out, {"--steps", "3", option, value}, 2, "is of another model", "drop --");
  resume(out, {"--steps", "3", "--bias"}, 2, "is of another model", "drop --bias");

  write_file(folder / "cut", before.substr(0, before.size() - 8));
  std::filesystem::create_directory(folder / "cut_run");
  std::filesystem::rename(folder / "cut", checkpoint(folder / "cut_run"));
  resume(folder / "cut_run", {"--steps", "3"}, 3, "ckpt.safetensors", "fix: ");
  CHECK((file_text(checkpoint(out)) == before));
  trained({"train", "--resume", out, "--steps", "3", "--layers", "1", "--width", "16"});
}

TEST_CASE("train: a setting in a checkpoint that cannot be is the file's fault, by its name") {
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = checkpoint(out);
  trained(tiny(out, {"--steps", "2"}));
  const std::string good = file_text(file);
  for (const auto& [name, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"beta1", -1},
           {"beta2", 1337},
           {"batch", -1},
           {"batch", 1e18},
           {"batch", 4.0},
           {"batch", "4"},
           {"batch", nullptr},
           {"tp", 0},
           {"tp", true},
           {"dp", 0},
           {"dp", 2.5},
           {"zero", 7},
           {"dtype", "f16"},
           {"dtype", 32},
           {"warmup", -5},
           {"accumulate", 0},
           {"grad-clip", -1},
           {"dropout", 1},
           {"algorithm", "zzz"},
           {"seed", -1},
           {"seed", 1.5},
           {"lr", "fast"},
           {"weight-decay", -0.1},
           {"min-lr", nullptr},
           {"eval-batches", 0},
           {"eval-interval", -1},
           {"seq", -16},
           {"decay-steps", 1e9},
           {"sp", 1},
           {"bias", "yes"},
           {"preset", "huge"},
           {"text", 5},
           {"tokenizer", false},
           {"steps", 1e99},
           {"layers", -1},
           {"recompute", nlohmann::json::array()}}) {
    CAPTURE(name, value.dump());
    write_file(file, good);
    edit_train_settings(file, name, value);
    const Arguments steps = name == "steps" ? Arguments{} : Arguments{"--steps", "4"};
    refused(Arguments{"train", "--resume", out, "--no-sample"} + steps, 3, file + ": ",
            name == "zero" ? "ZeRO" : "the run's setting " + name + ": ");
  }
  // Each may be, and not all of them together.
  for (const auto& [name, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"tp", 65}, {"tp", 3}, {"dp", 3}, {"seq", 17}, {"sp-regather", true}}) {
    CAPTURE(name);
    write_file(file, good);
    edit_train_settings(file, name, value);
    refused({"train", "--resume", out, "--steps", "4"}, 3, file + ": the run's settings: ");
  }
  // What the command line says instead is not the file's.
  write_file(file, good);
  edit_train_settings(file, "beta2", 1337);
  edit_train_settings(file, "seed", -1);
  trained({"train", "--resume", out, "--steps", "4", "--beta2", "0.9", "--seed", "5"});
  CHECK(fs::exists(out + "/results_tp1_dp1-2.json"));
}

TEST_CASE("train: a setting that a checkpoint does not have is said") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  edit(checkpoint(out), [](nlohmann::json& header, std::string&) {
    std::string& text = header["__metadata__"]["train"].get_ref<std::string&>();
    nlohmann::json train = nlohmann::json::parse(text);
    train.erase("beta2");
    text = train.dump();
  });
  const Ran ran = trained({"train", "--resume", out, "--steps", "3", "--no-sample"});
  CHECK_THAT(ran.err, Contains("the run does not say its --beta2; taken: 0.99\n"));
}

TEST_CASE(
    "train: weights and moments that are no numbers are the file's fault, by name and place") {
  const float nan = std::nanf("");
  const TemporaryFolder folder;
  const std::string out = folder / "run", file = checkpoint(out);
  trained(tiny(out, {"--steps", "2"}));
  const std::string good = file_text(file);
  const auto refused_for = [&](const std::string& tensor, size_t place, float value,
                               const std::string& problem) {
    write_file(file, good);
    poke(file, tensor, place, value);
    refused({"train", "--resume", out, "--steps", "4"}, 3, file);
    refused({"train", "--resume", out, "--steps", "4"}, 3, problem);
  };
  const std::string fc = "transformer.h.0.mlp.c_fc.weight";  // [64, 16]
  refused_for("model." + fc, 3 * 16 + 5, nan, fc + "[3, 5] is NaN");
  refused_for("model.transformer.ln_f.weight", 7, HUGE_VALF, "ln_f.weight[7] is inf");
  refused_for("adamw.m." + fc, 63 * 16 + 15, nan, "adamw.m." + fc + "[63, 15] is NaN");
  refused_for("adamw.v." + fc, 16, nan, "adamw.v." + fc + "[1, 0] is NaN");
  refused_for("adamw.v." + fc, 16, -1, "adamw.v." + fc + "[1, 0] is -1");
  write_file(file, good);
  trained({"train", "--resume", out, "--steps", "4", "--no-sample"});
  poke(file, "model." + fc, 0, nan);
  refused({"train", "--checkpoint", file, "--steps", "4", "--out", folder / "other"}, 3,
          fc + "[0, 0] is NaN");
  CHECK_FALSE(fs::exists(folder / "other"));
  refused({"generate", "--checkpoint", file, "--tokens", "1,2", "--json"}, 3, fc + "[0, 0] is NaN");
}

TEST_CASE("train: weights too large for their first step get no advice on the learning rate") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  poke(checkpoint(out), "model.transformer.wte.weight", 0, 3e38F);
  poke(checkpoint(out), "model.transformer.wpe.weight", 0, 3e38F);
  const Ran ran = tplab({"train", "--resume", out, "--steps", "4"});
  CHECK(ran.exit_code == 2);
  CHECK_THAT(ran.err, Contains("step 2: ") &&
                          Contains("train in --dtype f64, or begin with others") &&
                          !Contains("lower --lr") && Contains("is as it was, at step 2"));
}

TEST_CASE("train: the weights of case 11 are named") {
  const std::string data = shared_data("cases/11-nan-in-weights");
  if (data.empty()) return;
  const TemporaryFolder folder;
  refused({"train", "--checkpoint", data + "/ckpt.pt", "--data", data, "--steps", "2", "--batch",
           "4", "--no-sample", "--out", folder / "o"},
          3, "transformer.h.0.mlp.c_fc.weight[3, 5] is NaN");
}

TEST_CASE("train: a folder that cannot be made is refused before the work") {
  const TemporaryFolder folder;
  write_file(folder / "file", "");
  for (const char* out : {"file", "file/run"})
    refused(tiny(folder / out, {"--steps", "2"}), 2, out, "--out");
  std::filesystem::create_directories(checkpoint(folder / "taken"));
  refused(tiny(folder / "taken", {"--steps", "2"}), 2, "is a folder, and a checkpoint's name",
          "--out");
}

TEST_CASE("train: an empty name is refused, not taken as none") {
  const TemporaryFolder folder;
  for (const char* option :
       {"--resume", "--text", "--data", "--tokenizer", "--checkpoint", "--preset"})
    refused(tiny(folder / "run", {option, ""}), 2, std::string(option) + ": ");
  refused(tiny("", {"--steps", "2"}), 2, "--out: is empty");
}

TEST_CASE("verify --backward: a model whose gradients do not fit in memory is refused at once") {
  // 1.56e9 parameters, of which the reference alone keeps weights, gradients and moments in f64:
  // 50 GB; a machine with the memory for all of it would go to work.
  refused({"verify", "--backward", "--preset", "gpt2-xl", "--tp", "1", "--batch", "64"}, 4,
          "memory", "fix: ");
}

TEST_CASE("train: a disk without room is refused before the first step, and the old run stays") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  trained(tiny(out, {"--steps", "2"}));
  const std::string before = file_text(checkpoint(out));
  for (const std::string& command :
       {"$TPLAB train --resume " + out + " --steps 4",
        "$TPLAB train --width 16 --heads 2 --layers 1 --steps 1 --out " + out}) {
    const Ran ran = shell("ulimit -f 8; " + command);
    CHECK(ran.exit_code == 4);
    CHECK_THAT(ran.err, Contains("ckpt.safetensors: cannot reserve") && Contains("ulimit -f") &&
                            Contains("the file that was there is as it was") &&
                            !Contains("training on"));
    CHECK((file_text(checkpoint(out)) == before));
    CHECK_FALSE(std::filesystem::exists(checkpoint(out) + ".part"));
  }
  trained({"train", "--resume", out, "--steps", "4"});
  CHECK(steps_done(out) == 4);
}

TEST_CASE("train: results that cannot be written are printed, and the run is saved") {
  const TemporaryFolder folder;
  const std::string out = folder / "run";
  // A checkpoint has some 50 KB, the results of 500 steps have more.
  std::string command = "(ulimit -f 160; $TPLAB";
  for (const std::string& argument : tiny(out, {"--steps", "500", "--json"}))
    command += " " + argument;
  const Ran ran = shell(command + "; echo $? > " + folder / "exit_code" + ") | cat");
  CHECK(file_text(folder / "exit_code") == "4\n");
  CHECK_THAT(ran.err, Contains("results_tp1_dp1.json: the results could not be written") &&
                          Contains("step 500 is saved in " + checkpoint(out)) && Contains("fix:"));
  CHECK(ran.json()["steps"].size() == 500);
  CHECK(steps_done(out) == 500);
}

}  // namespace
}  // namespace tplab
