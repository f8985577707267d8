// Words that nobody knows get the nearest; lists, counts and places of options are explained; help.
#include <catch2/catch.hpp>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using Arguments = std::vector<std::string>;

void check_refused(const Arguments& arguments, const std::string& problem, const std::string& fix) {
  CAPTURE(arguments);
  const Ran ran = tplab(arguments);
  CHECK(ran.exit_code == 2);
  CHECK(ran.out.empty());
  const size_t at = ran.err.find("\n  fix: ");
  REQUIRE(at != std::string::npos);
  CHECK_THAT(ran.err.substr(0, at), Catch::StartsWith("tplab: ") && Contains(problem));
  CHECK_THAT(ran.err.substr(at), Contains(fix));
}

TEST_CASE("unknown words: the nearest command, option, preset, kind or word of a set") {
  check_refused({"verfiy"}, "'verfiy' is no command", "did you mean verify?");
  check_refused({"verfiy", "--preset", "nano-cpu"}, "'verfiy'", "did you mean verify?");
  check_refused({"bench", "decod"}, "'decod' is no command of tplab bench", "did you mean decode?");
  check_refused({"verify", "--presset", "nano-cpu"}, "'--presset' is no option of tplab verify",
                "did you mean --preset?");
  check_refused({"verify", "--preset", "nano-cpu", "--Tp=2"}, "'--Tp=2'", "did you mean --tp?");
  check_refused({"verify", "--preset", "nano-cpu", "--sp"}, "'--sp' is no option of tplab verify",
                "it is one of tplab train, ");
  check_refused({"info", "--preset", "nano-cpu", "--max-new=3"}, "'--max-new=3'",
                "it is one of tplab generate; see tplab info --help");
  check_refused({"verify", "--preset", "nano-cpu", "--", "--tp", "2"}, "'--tp'",
                "options stand before a lone --");
  // What is nearly an option here is not another command's.
  check_refused({"generate", "--preset", "nano-cpu", "--max", "5"}, "'--max'",
                "did you mean --max-new?");
  check_refused({"info", "--preset", "nano-cpu", "--no-uneven"}, "'--no-uneven'",
                "did you mean --uneven?");
  check_refused({"--help", "verify"}, "--help stands before", "tplab verify --help");
  check_refused({"version"}, "'version' is no command", "did you mean --version?");
  check_refused({"verify", "--preset", "nano-cpu", "-tp", "2"}, "'-tp", "did you mean --tp?");
  check_refused({"train", "--max_steps", "3"}, "'--max_steps'", "see tplab train --help");
  check_refused({"tokenize", "--tokenzier", "x"}, "'--tokenzier'", "did you mean --tokenizer?");
  check_refused({"info", "gpt2"}, "'gpt2' is a word too many", "did you mean --preset gpt2?");
  check_refused({"verify", "gpt-2"}, "'gpt-2'", "did you mean --preset gpt2?");
  check_refused({"info", fixture("nanogpt-tiny")}, "is a word too many",
                "did you mean --checkpoint ");
  check_refused({"info", "--preset", "nanocpu"}, "'nanocpu'", "did you mean nano-cpu?");
  check_refused({"train", "--preset", "gtp2"}, "'gtp2'", "did you mean gpt2?");
  check_refused({"draw", "tiemline", "--preset", "nano-cpu"}, "'tiemline'",
                "did you mean timeline?");
  check_refused({"verify", "--preset", "nano-cpu", "--algorithm", "rign"}, "'rign'",
                "did you mean ring?");
  check_refused({"verify", "--preset", "nano-cpu", "--dtype", "fp32"}, "'fp32'",
                "did you mean f32?");
  check_refused({"draw", "collective", "--op", "allreduce"}, "'allreduce'",
                "did you mean all_reduce?");
  check_refused({"draw", "block", "--preset", "nano-cpu", "--phase", "backwards"}, "'backwards'",
                "did you mean backward?");
  check_refused({"help", "verfy"}, "'verfy' is no command", "did you mean verify?");
}

TEST_CASE("unknown words: what is like nothing gets no guess, but what there is") {
  const Ran ran = tplab({"dance"});
  CHECK_THAT(ran.err, !Contains("did you mean") && Contains("the commands of tplab are verify, "));
  CHECK_THAT(tplab({"verify", "--zzzzzz"}).err, !Contains("did you mean"));
}

TEST_CASE("options before the command are told their place, with the line as it should be") {
  check_refused({"--preset", "nano", "info"}, "options come after the command",
                "tplab info --preset nano");
  check_refused({"--tp", "2", "verify", "--preset", "nano-cpu"}, "options come after the command",
                "tplab verify --tp 2 --preset nano-cpu");
  CHECK(tplab({"--version"}).exit_code == 0);
}

TEST_CASE("the option --tp: what is no list or number of ranks is answered with an example") {
  for (const Arguments& tp :
       {Arguments{"1,", "2"}, {"0"}, {"two"}, {"-1"}, {""}, {"1,,2"}, {"1.5"}}) {
    Arguments several = {"verify", "--preset", "nano-cpu", "--tp"};
    several.insert(several.end(), tp.begin(), tp.end());
    check_refused(several, "is not a whole number from 1",
                  "commas and no spaces between, as in --tp 1,2,4");
    for (const Arguments& command : {Arguments{"generate", "--preset", "nano-cpu", "--tokens", "1"},
                                     {"info", "--preset", "nano-cpu"},
                                     {"draw", "mesh", "--preset", "nano-cpu"},
                                     {"trace", "--preset", "nano-cpu"},
                                     {"train"}}) {
      Arguments one = command;
      one.push_back("--tp");
      one.insert(one.end(), tp.begin(), tp.end());
      check_refused(one, "--tp: ", command[0] == "train" ? "as in --tp 1" : "as in --tp 2");
    }
  }
  check_refused({"verify", "--tp"}, "--tp", "see tplab verify --help");
  check_refused({"train", "--lr", "fast"}, "--lr: 'fast' is not a finite number", "as in --lr ");
  check_refused({"train", "--batch", "0"}, "--batch: '0'", "as in --batch ");
}

TEST_CASE("help: one screen alone and with tplab help, a command's own, and a kind of picture's") {
  const How eighty{.columns = 80};
  const Ran bare = tplab({}, eighty), help = tplab({"help"}, eighty);
  CHECK(bare.exit_code == 2);
  CHECK(help.exit_code == 0);
  CHECK(bare.out == help.out);
  CHECK(bare.err + help.err == "");
  CHECK(std::count(help.out.begin(), help.out.end(), '\n') <= 24);
  for (const char* command : {"verify", "train", "draw", "bench", "doctor", "tplab --help"})
    CHECK_THAT(help.out, Contains(command));
  CHECK(tplab({"help", "verify"}).out == tplab({"verify", "--help"}).out);
  CHECK(tplab({"help", "bench", "decode"}).out == tplab({"bench", "decode", "--help"}).out);
  const std::string block = tplab({"draw", "block", "--help"}).out;
  CHECK(tplab({"help", "draw", "block"}, eighty).out == block);
  CHECK_THAT(block,
             Contains("Usage: tplab draw block") && Contains("--phase") && Contains("--layer"));
  CHECK_THAT(block, !Contains("--op ") && !Contains("--depth"));
  for (const char* kind : {"model", "shards", "collective", "mesh", "compare", "timeline"}) {
    const std::string text = tplab({"draw", kind, "--help"}).out;
    CHECK_THAT(text, Contains(std::string("Usage: tplab draw ") + kind) &&
                         Contains(std::string("Examples:\n  tplab draw ") + kind) &&
                         !Contains("--layer"));
  }
}

}  // namespace
}  // namespace tplab
