// Whatever the command shows fits a terminal of 80 columns, and one of 60.
#include <catch2/catch.hpp>
#include <regex>
#include <sstream>

#include "cli/terminal.h"
#include "run_tplab.h"
#include "viz/drawing/table.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using Arguments = std::vector<std::string>;

// The widest lines that are too wide, and whole words apart: a path is not broken, so that it can
// be copied.
std::string too_wide(const std::string& text, size_t columns) {
  std::istringstream lines(text);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    const std::string plain = std::regex_replace(line, std::regex("\x1b\\[[0-9;]*m"), "");
    if (display_width(plain) > columns) found += plain + "\n";
  }
  return found;
}

void check_fits(const Arguments& arguments, int exit_code, const How& asked = {}) {
  for (const int columns : {80, 60}) {
    CAPTURE(arguments, columns);
    How how = asked;
    how.columns = columns;
    const Ran ran = tplab(arguments, how);
    CHECK(ran.exit_code == exit_code);
    CHECK(too_wide(ran.out, static_cast<size_t>(columns)) == "");
    CHECK(too_wide(ran.err, static_cast<size_t>(columns)) == "");
    CHECK(!(ran.out.empty() && ran.err.empty()));
  }
}

const Arguments kHelp[] = {{"verify"},
                           {"generate"},
                           {"train"},
                           {"trace"},
                           {"tokenize"},
                           {"info"},
                           {"export"},
                           {"draw"},
                           {"draw", "block"},
                           {"draw", "model"},
                           {"draw", "shards"},
                           {"draw", "collective"},
                           {"draw", "mesh"},
                           {"draw", "compare"},
                           {"draw", "timeline"},
                           {"bench"},
                           {"bench", "forward"},
                           {"bench", "decode"},
                           {"bench", "train"},
                           {"bench", "collectives"},
                           {"bench", "attention"},
                           {"explore"},
                           {"monitor"},
                           {"doctor"},
                           {"help"}};

TEST_CASE("80 and 60 columns: the help of every command, and of every kind of picture") {
  for (Arguments command : kHelp) {
    command.push_back("--help");
    check_fits(command, 0);
  }
  check_fits({"--help"}, 0);
  check_fits({"--help-all"}, 0);
  check_fits({"help"}, 0);
  check_fits({}, 2);
}

TEST_CASE("80 and 60 columns: what the commands show", "[slow]") {
  const TemporaryFolder folder;
  const std::string nano = fixture("nanogpt-tiny");
  check_fits({"verify", "--preset", "nano-cpu", "--tp", "1,2", "--seq", "8"}, 0);
  check_fits({"verify", "--preset", "nano-cpu", "--tp", "2", "--seq", "4", "--sites"}, 0);
  check_fits({"verify", "--backward", "--preset", "nano-cpu", "--tp", "2", "--dp", "1,2", "--steps",
              "1", "--seq", "4", "--sites"},
             0);
  check_fits({"info", "--preset", "gpt2-xl", "--tp", "5"}, 0);
  check_fits({"info", "--preset", "gpt2-xl", "--tp", "8", "--uneven", "--train", "--seq", "1024"},
             0);
  check_fits({"trace", "--table", "--preset", "nano-cpu", "--tp", "2", "--dp", "2", "--sp"}, 0);
  check_fits({"trace", "--preset", "nano-cpu", "--seq", "4", "-o", folder / "t.json"}, 0);
  check_fits({"monitor", "--preset", "nano-cpu", "--seq", "4", "--tp", "4"}, 0);
  for (const char* script : {"FAKE_NVML=", "FAKE_NVML=mig", "FAKE_NVML=lost=0"}) {
    const How how{.env = {script, "CUDA_VISIBLE_DEVICES=GPU-aabb,GPU-none"}};
    check_fits({"monitor", "--nvml", TPLAB_FAKE_NVML}, 0, how);
    check_fits({"monitor", "--nvml", TPLAB_FAKE_NVML, "--", "/bin/sh", "-c", "exit 1"}, 1, how);
  }
  check_fits({"export", "--preset", "nano-cpu", "-o", folder / "exported"}, 0);
  check_fits({"generate", "--preset", "nano-cpu", "--tokens", "1", "--max-new", "4"}, 0);
  check_fits({"train", "--layers", "1", "--heads", "2", "--width", "16", "--block", "16", "--steps",
              "2", "--warmup", "1", "--no-sample", "--eval-batches", "1", "--out", folder / "run"},
             0, {});
}

TEST_CASE("80 and 60 columns: pictures of every kind", "[slow]") {
  for (const char* kind : {"block", "model", "shards", "mesh", "compare", "timeline"})
    for (const char* locale : {"LC_ALL=C", "LC_ALL=C.UTF-8"})
      check_fits({"draw", kind, "--preset", "nano-cpu", "--tp", "2"}, 0, {.env = {locale}});
  check_fits({"draw", "collective"}, 0);
  check_fits({"draw", "collective", "--algorithm", "ring", "--tp", "8"}, 0);
  check_fits({"draw", "shards", "--preset", "gpt2-xl", "--tp", "8", "--uneven"}, 0);
  check_fits({"draw", "mesh", "--preset", "gpt2", "--tp", "4", "--dp", "4", "--zero", "2"}, 0);
}

TEST_CASE("80 and 60 columns: what benchmarks and the doctor show", "[slow]") {
  check_fits({"doctor"}, 0);
  const Arguments nano = {"--preset", "nano-cpu", "--tp", "1,2", "--repeat", "1"};
  for (const char* bench : {"forward", "decode", "train"}) {
    Arguments all = {"bench", bench};
    all.insert(all.end(), nano.begin(), nano.end());
    if (std::string(bench) == "train") all.insert(all.end(), {"--steps", "1", "--seq", "8"});
    check_fits(all, 0);
  }
  check_fits({"bench", "collectives", "--tp", "2", "--max", "16K", "--repeat", "1"}, 0);
}

TEST_CASE("80 and 60 columns: refusals") {
  check_fits({"dance"}, 2);
  check_fits({"bench", "dance"}, 2);
  check_fits({"verify", "--presset", "nano-cpu"}, 2);
  check_fits({"verify", "--preset", "gpt5"}, 2);
  check_fits({"verify", "--preset", "nano-cpu", "--tp", "1,,2"}, 2);
  check_fits({"draw", "shardz"}, 2);
  check_fits({"verify", "--preset", "nano-cpu", "--tp", "3"}, 2);
  check_fits({"verify", "--preset", "nano-cpu", "--device", "cuda"}, 4);
  check_fits({"verify", "--preset", "gpt2-xl", "--tp", "1", "--batch", "100000000"}, 4);
  check_fits({"info", "--checkpoint", "/dev/null"}, 3);
  check_fits({"monitor", "--nvml", "libno-such-driver.so.1"}, 4);
  const Ran ran = tplab({"verify"}, {.columns = 60});
  CHECK_THAT(ran.err, Catch::Matches("tplab: [^\n]*\n  fix: [^\n]*(\n       [^\n]*)+\n"));
}

TEST_CASE("columns: COLUMNS says how wide, no terminal is 80, and a file is 80 whatever it says") {
  const Arguments help = {"verify", "--help"};
  CHECK(tplab(help, {.columns = 0}).out == tplab(help, {.columns = 80}).out);
  CHECK(tplab(help, {.columns = 60}).out != tplab(help, {.columns = 80}).out);
  const TemporaryFolder folder;
  for (const int columns : {60, 80}) {
    CHECK(tplab({"info", "--preset", "nano-cpu", "--tp", "2", "-o", folder / "info.txt"},
                {.columns = columns})
              .exit_code == 0);
    CHECK(file_text(folder / "info.txt") ==
          tplab({"info", "--preset", "nano-cpu", "--tp", "2"}, {.columns = 80}).out);
  }
}

TEST_CASE("progress: the bar never fills the line, whatever it is about") {
  const std::string names[] = {"", "step 3/20, loss 1.2345, 12345 tokens/s, 3 min 02 s left",
                               std::string(300, 'x'),
                               "transformer.h.0.日本語日本語日本語日本語.weight"
                               " and so on and so on and so on"};
  for (const std::string& name : names)
    for (const int columns : {40, 60, 80, 200})
      for (const double done : {-1.0, 0.0, 0.5, 1.0, 2.0}) {
        const std::string line = cli::progress_line(name, done, columns);
        REQUIRE_THAT(line, Catch::StartsWith("\r\x1b[K["));
        CHECK(display_width(line.substr(4)) + 3 <= static_cast<size_t>(columns));
        CHECK_THAT(line.substr(1), !Contains("\r") && !Contains("\n"));
      }
  CHECK_THAT(cli::progress_line("x", 0.5, 80), Contains("[#####.....]  50 %  x"));
}

}  // namespace
}  // namespace tplab
