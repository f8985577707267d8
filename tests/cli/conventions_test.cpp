// What every command has in common: exit codes, errors, help, colour, where output goes.
#include <algorithm>
#include <catch2/catch.hpp>
#include <regex>
#include <sstream>

#include "run_tplab.h"
#include "sim/cuda/gpus.h"
#include "sim/machine/backends.h"
#include "sim/nccl/nccl.h"

namespace tplab {
namespace {

using namespace testing;
using Arguments = std::vector<std::string>;
using Catch::Contains;

const Arguments kInfo = {"info", "--preset", "nano-cpu"};

Arguments with(Arguments all, const Arguments& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

// Refused with this code, by a message of one paragraph with a fix, and nothing on stdout.
void check_refused(const Arguments& arguments, int exit_code, const std::string& message) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments, {.columns = 1000});
  CHECK(ran.exit_code == exit_code);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Catch::StartsWith("tplab: ") && Contains(message) && Contains("\n  fix: "));
  CHECK_THAT(ran.err, !Contains("\n\n") && !Contains("bug in tplab"));
  CHECK(options_unknown_to(arguments, ran.err).empty());
}

// The ways to name a model, and a command that takes one.
const Arguments kModelCommands[] = {
    {"info"}, {"verify"}, {"generate", "--tokens", "1"}, {"bench", "forward"}, {"bench", "decode"},
    {"trace"}};

const Arguments kCommands[] = {
    {},
    {"verify"},
    {"generate"},
    {"trace"},
    {"tokenize"},
    {"info"},
    {"export"},
    {"explore"},
    {"monitor"},
    {"doctor"},
    {"draw"},
    {"bench"},
    {"bench", "forward"},
    {"bench", "decode"},
    {"bench", "collectives"},
    {"bench", "attention"},
};

TEST_CASE("exit code 2: a request that cannot be met") {
  check_refused({"dance"}, 2, "'dance' is no command of tplab");
  check_refused({"dance", "--json"}, 2, "the commands of tplab are verify, generate, train, ");
  check_refused({"bench", "dance"}, 2, "'dance' is no command of tplab bench");
  check_refused({"bench", "dance"}, 2, "the commands of tplab bench are forward, ");
  check_refused({"--dance"}, 2, "'--dance' is no command of tplab");
  check_refused({"bench"}, 2, "tplab bench needs one of its commands");
  check_refused({"tokenize", "text"}, 2, "--tokenizer is required");
  check_refused({"doctor", "--fast"}, 2, "--fast");
  check_refused({"bench", "collectives", "--op", "shout"}, 2, "all_reduce, all_gather");
  check_refused({"bench", "collectives", "--tp", "1"}, 2, "one rank");
  check_refused({"bench", "collectives", "--min", "1M", "--max", "4K"}, 2, "--min");
  check_refused({"bench", "collectives", "--algorithm", "magic"}, 2, "magic");
  for (const Arguments& command : kModelCommands) {
    check_refused(command, 2, "--preset NAME");
    check_refused(with(command, {"--preset", "nano", "--checkpoint", "x"}), 2, "--checkpoint");
    check_refused(with(command, {"--preset", "gpt5"}), 2, "nano-cpu, nano, gpt2");
    check_refused(with(command, {"--preset", "nano-cpu", "--tp", "3"}), 2, "use --tp 1, 2 or 4");
    check_refused(with(command, {"--preset", "nano-cpu", "--tp", "many"}), 2, "--tp");
    check_refused(with(command, {"--preset", "nano-cpu", "--dtype", "f8"}), 2, "f8");
  }
}

TEST_CASE("exit code 3: an input file that is missing or bad") {
  const TemporaryFolder folder;
  write_file(folder / "ckpt.pt", "not a checkpoint");
  write_file(folder / "meta.pkl", "\x80\x02cos\nsystem\n");
  for (const Arguments& command : kModelCommands) {
    check_refused(with(command, {"--checkpoint", folder / "absent"}), 3, "absent");
    check_refused(with(command, {"--checkpoint", folder / "ckpt.pt"}), 3, "ckpt.pt");
  }
  check_refused({"tokenize", "--tokenizer", folder / "absent", "x"}, 3, "absent");
  check_refused({"tokenize", "--tokenizer", folder / "meta.pkl", "x"}, 3, "meta.pkl");
  check_refused({"tokenize", "--tokenizer", fixture("."), "x"}, 3, "without a tokenizer");
  write_file(folder / "input.txt", "a text, no tokenizer");
  check_refused({"tokenize", "--tokenizer", folder / "input.txt", "x"}, 3, "meta.pkl");
  check_refused({"tokenize", "--tokenizer", folder / "ckpt.pt", "x"}, 3, "meta.pkl");
}

TEST_CASE("a list with an empty place, or with what is no count, is refused") {
  for (const char* list : {"1,,2", ",1", "1,", ",", "", "0", "1,-2", "1,2x", "1;2", "1, 2"}) {
    CAPTURE(list);
    const Ran ran = tplab({"verify", "--preset", "nano-cpu", "--tp", list});
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Contains("--tp: '") && Contains("is not a whole number from 1"));
  }
  const Ran both = tplab({"verify", "--preset", "nano-cpu", "--batch", "1", "--seq", "4", "--tp",
                          "1,2", "4", "--json"});
  CHECK(both.exit_code == 0);
  CHECK(both.json()["runs"].back()["tp"] == 4);
}

TEST_CASE("weights, tokens and the results of a training run are no place for any --out") {
  const TemporaryFolder folder;
  for (const std::string name : {"a.pt", "b.safetensors", "c.pkl", "d.bin", "results_tp1_dp1.json",
                                 "results_tp1_dp1-2.json"}) {
    write_file(folder / name, "hours");
    std::filesystem::create_symlink(folder / name, folder / ("to " + name));
    for (const std::string& out : {name, "to " + name}) {
      check_refused({"info", "--preset", "nano-cpu", "-o", folder / out}, 2,
                    "which is there and is a model's or a training run's");
      CHECK(file_text(folder / name) == "hours");
    }
  }
  // A name alone costs nobody anything.
  CHECK(tplab({"info", "--preset", "nano-cpu", "-o", folder / "new.bin"}).exit_code == 0);
}

TEST_CASE("a file that the command reads is no place for its --out") {
  const TemporaryFolder folder;
  const auto copy = [&](const std::string& from, const std::string& to) {
    std::filesystem::copy(fixture(from), folder / to, std::filesystem::copy_options::recursive);
  };
  copy("nanogpt-tiny", "nano");
  copy("gpt2-tiny", "hf");
  write_file(folder / "in.txt", "a text");
  std::filesystem::create_symlink(folder / "nano/ckpt.pt", folder / "link");
  const auto refused = [&](const Arguments& arguments, const std::string& out) {
    const std::string before = file_text(folder / out);
    check_refused(with(arguments, {"-o", folder / out}), 2, "-o names " + folder / out);
    CHECK(file_text(folder / out) == before);
    CHECK_FALSE(std::filesystem::exists(folder / (out + ".part")));
  };
  const Arguments nano = {"--checkpoint", folder / "nano/ckpt.pt"};
  const Arguments hf = {"--checkpoint", folder / "hf"};
  refused(with({"info"}, nano), "nano/ckpt.pt");
  refused(with({"info"}, nano), "link");
  refused(with({"verify"}, nano), "nano/ckpt.pt");
  refused(with({"trace"}, nano), "nano/ckpt.pt");
  refused(with({"bench", "decode"}, hf), "hf/model.safetensors");
  refused(with({"generate"}, hf), "hf/vocab.json");
  refused(with({"generate"}, nano), "nano/meta.pkl");
  refused({"info", "--checkpoint", folder / "hf/"}, "hf/config.json");
  refused({"tokenize", "--tokenizer", folder / "hf", "x"}, "hf/merges.txt");
  refused({"verify", "--preset", "nano-cpu", "--against", folder / "in.txt"}, "in.txt");
  const Ran same = shell("\"$TPLAB\" tokenize --tokenizer '" + folder / "hf" + "' -o '" +
                         folder / "in.txt" + "' < '" + folder / "in.txt" + "'");
  CHECK(same.exit_code == 2);
  CHECK_THAT(same.err, Contains("which stdin comes from"));
  CHECK(file_text(folder / "in.txt") == "a text");
  // Beside the model there is room for results, also a second time.
  for (int i = 0; i < 2; ++i)
    CHECK(tplab(with(with({"info"}, hf), {"--json", "-o", folder / "hf/info.json"})).exit_code ==
          0);
}

TEST_CASE("exit code 4: what is not in this build, or on this machine") {
  const bool no_gpu = !gpu_report().problem.empty();
  const int without_gpus =
      nccl_report().built.empty() ? 4 : 2;  // 2: NCCL is there, not for the CPU
  const Arguments on_gpu = {"--preset", "nano-cpu", "--device", "cuda"};
  const Arguments over_nccl = {"--preset", "nano-cpu", "--comm", "nccl"};
  const Arguments over_mpi = {"--preset", "nano-cpu", "--comm", "mpi"};
  const bool no_mpi = std::ranges::any_of(
      comms(), [](const Backend& comm) { return comm.name == "mpi" && !comm.built; });
  for (const Arguments& command : kModelCommands) {
    if (command[0] == "info") continue;  // runs nothing
    if (no_gpu) check_refused(with(command, on_gpu), 4, "cpu");
    check_refused(with(command, over_nccl), without_gpus, "use ");
    if (no_mpi) check_refused(with(command, over_mpi), 4, "use threads");
  }
  if (no_gpu) check_refused({"bench", "collectives", "--device", "cuda"}, 4, "cpu");
}

TEST_CASE("help leads with examples and goes to stdout") {
  for (const Arguments& command : kCommands) {
    CAPTURE(command);
    const Ran ran = tplab(with(command, {"--help"}));
    CHECK(ran.exit_code == 0);
    CHECK(ran.err.empty());
    REQUIRE_THAT(ran.out, Contains("Examples:\n  tplab") && Contains("Usage:"));
    CHECK(ran.out.find("Examples:") < ran.out.find("Usage:"));
  }
}

TEST_CASE("the models and --tp of the examples in the help go together") {
  const std::regex example(R"(tplab [^\n]*--preset (\S+)[^\n]*--tp (\S+)( --uneven)?)");
  std::string help;
  for (const Arguments& command : kCommands) help += tplab(with(command, {"--help"})).out;
  int examples = 0;
  for (std::sregex_iterator it(help.begin(), help.end(), example), end; it != end; ++it) {
    std::istringstream tps((*it)[2]);
    for (std::string tp; std::getline(tps, tp, ','); ++examples) {
      CAPTURE(it->str());
      Arguments info = {"info", "--preset", (*it)[1], "--tp", tp};
      if ((*it)[3].matched) info.emplace_back("--uneven");
      CHECK(tplab(info).exit_code == 0);
    }
  }
  CHECK(examples > 10);
}

TEST_CASE("colour is for terminals only, and can be turned off there") {
  if (!has_terminals()) return;
  const std::string escape = "\x1b[";
  const auto on_terminal = [&](const Arguments& more, const Arguments& env = {}) {
    return tplab(with(kInfo, more), {.env = env, .terminal = true}).out;
  };
  CHECK_THAT(tplab(kInfo).out, !Contains(escape));
  CHECK_THAT(on_terminal({}), Contains(escape));
  CHECK_THAT(on_terminal({"--no-color"}), !Contains(escape));
  CHECK_THAT(on_terminal({}, {"NO_COLOR=1"}), !Contains(escape));
  CHECK_THAT(on_terminal({}, {"NO_COLOR="}), Contains(escape));  // as no-color.org has it
  CHECK_THAT(on_terminal({"--json"}), !Contains(escape));
  CHECK_THAT(on_terminal({}, {"TERM=dumb"}), !Contains(escape));
}

TEST_CASE("an --out file gets what stdout would") {
  const TemporaryFolder folder;
  const Ran ran = tplab(with(kInfo, {"--json", "-o", folder / "info.json"}));
  CHECK(ran.exit_code == 0);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Catch::StartsWith("wrote " + folder / "info.json" + " ("));
  CHECK(file_text(folder / "info.json") == tplab(with(kInfo, {"--json"})).out);
}

TEST_CASE("an output that cannot be written is an error that says so") {
  const TemporaryFolder folder;
  check_refused(with(kInfo, {"-o", folder / "absent/info.txt"}), 2, "cannot be written");
  check_refused(with(kInfo, {"-o", "/dev/full"}), 4, "No space left");
  const Arguments generate = {"generate", "--preset", "nano-cpu", "--tokens", "1", "--tp", "2"};
  check_refused(with(generate, {"-o", folder / "absent/text"}), 2, "cannot be written");
  check_refused(with(generate, {"-o", "/dev/full"}), 4, "No space left");
  const Ran full = shell("\"$TPLAB\" info --preset nano-cpu > /dev/full");
  CHECK(full.exit_code == 4);
  CHECK_THAT(full.err, Contains("stdout: could not be written"));
  // A file that may not grow: four kilobytes of an 8 KB result.
  const Ran limited = shell("ulimit -f 4; \"$TPLAB\" info --preset gpt2-xl --json -o '" +
                            (folder / "limited") + "'");
  CHECK(limited.exit_code == 4);
  CHECK_THAT(limited.err, Contains("File too large") && Contains("ulimit -f"));
  CHECK_FALSE(std::filesystem::exists(folder / "limited.part"));
}

TEST_CASE("a count that is no whole number, too small or too large is refused by its range") {
  for (const char* count : {"0", "-1", "1.5", "1e3", "many", "2147483648", "9223372036854775807",
                            "99999999999999999999"}) {
    for (const char* option : {"--batch", "--seq"}) {
      for (const Arguments& command :
           {Arguments{"verify"}, {"bench", "forward"}, {"bench", "decode"}})
        check_refused(
            with(command, {"--preset", "nano-cpu", option, count}), 2,
            std::string(option) + ": '" + count + "' is not a whole number from 1 to 2147483647");
    }
  }
  check_refused({"generate", "--preset", "nano-cpu", "--tokens", "1", "--max-new", "-1"}, 2,
                "'-1' is not a whole number from 0 to 2147483647");
}

TEST_CASE("verify --against: a NaN of the other program is the worst tensor, before a wrong loss") {
  const TemporaryFolder folder;
  const std::string header =
      R"({"x":{"dtype":"I64","shape":[1,2],"data_offsets":[0,16]},)"
      R"("y":{"dtype":"I64","shape":[1,2],"data_offsets":[16,32]},)"
      R"("loss":{"dtype":"F64","shape":[1],"data_offsets":[32,40]},)"
      R"("logits":{"dtype":"F64","shape":[1,2,65],"data_offsets":[40,1080]}})";
  const std::string length = {static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0};
  const std::string zeros(32, '\0'), loss(8, '\x40'), nans(1040, '\xff');
  write_file(folder / "nan.safetensors", length + header + zeros + loss + nans);
  const Ran ran = tplab({"verify", "--preset", "nano-cpu", "--tp", "2", "--dtype", "f64",
                         "--against", folder / "nan.safetensors"});
  CHECK(ran.exit_code == 1);
  CHECK_THAT(ran.out,
             Contains("first at logits") && Contains("logits[0, 0, 0] is NaN in the golden"));
  CHECK(std::regex_search(ran.out, std::regex("2  f64 +2 .*logits -?nan")));
}

TEST_CASE("an escape in a file's name is shown, not obeyed") {
  const Ran ran = tplab({"info", "--checkpoint", "\x1b[31mred"});
  CHECK(ran.exit_code == 3);
  CHECK_THAT(ran.err, Contains("\\x1b[31mred") && !Contains("\x1b"));
}

TEST_CASE("a seed that is not a whole number of 64 bits is refused") {
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "x"}) {
    CAPTURE(seed);
    check_refused({"verify", "--preset", "nano-cpu", "--seed", seed}, 2, "whole number");
  }
}

TEST_CASE("more tokens than the machine has memory for are refused before the work") {
  const Arguments many = {"--preset", "nano-cpu", "--tp", "1", "--batch", "100000000"};
  check_refused(with({"verify"}, many), 4, "needs about");
  check_refused(with({"bench", "forward"}, many), 4, "needs about");
}

TEST_CASE("a command that fails leaves the old --out file as it was, and nothing beside it") {
  const TemporaryFolder folder;
  const std::string path = folder / "info.txt";
  write_file(path, "an older result");
  check_refused({"info", "--checkpoint", folder / "absent", "-o", path}, 3, "does not exist");
  CHECK(file_text(path) == "an older result");
  CHECK_FALSE(std::filesystem::exists(path + ".part"));
  CHECK(tplab(with(kInfo, {"-o", path})).exit_code == 0);
  CHECK(file_text(path) == tplab(kInfo, {.columns = 80}).out);
}

TEST_CASE("a reader that has enough ends a command without a word") {
  const Ran head =
      shell("\"$TPLAB\" generate --preset nano-cpu --tokens 1 --max-new 5000 | head -c 3");
  CHECK(head.exit_code == 0);
  CHECK(head.out.size() == 3);
  CHECK(head.err.empty());
}

}  // namespace
}  // namespace tplab
