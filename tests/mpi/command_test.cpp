// The command with --comm mpi: the same results as with threads, and what it refuses.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "launch.h"

namespace tplab::testing {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Json = nlohmann::json;

Json what_it_says(Ran ran) {
  INFO(ran.err);
  REQUIRE(ran.exit_code == 0);
  Json json = ran.json();
  forget_times(json);
  return json;
}

std::vector<std::string> joined(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The words at this many processes, and on as many threads.
void check_same(int n, std::vector<std::string> words) {
  const Json by_mpi = what_it_says(tplab_under_mpi(n, words));
  if (std::find(words.begin(), words.end(), "--tp") == words.end())
    words.insert(words.end(), {"--tp", std::to_string(n)});
  Json by_threads = what_it_says(tplab(words));
  Json& runs = by_threads["runs"];  // recomputing is looked at without replicas, on fewer ranks
  for (auto run = runs.begin(); run != runs.end();)
    run = (*run)["tp"].get<int>() * run->value("dp", 1) == n ? run + 1 : runs.erase(run);
  CHECK(by_mpi == by_threads);
}

TEST_CASE("mpi: verify says the same at 1 to 4 processes as with threads", "[mpi]") {
  if (!has_mpi()) return;
  for (const int n : {1, 2, 4})
    check_same(n, {"verify", "--checkpoint", fixture("gpt2-tiny"), "--batch", "1", "--seq", "8",
                   "--json", "--sites"});
  check_same(3, {"verify", "--checkpoint", fixture("gpt2-tiny"), "--batch", "1", "--seq", "8",
                 "--json", "--uneven"});
}

// The reference's own rounding depends on the cores that a launcher leaves it: values are compared.
TEST_CASE("mpi: ranks on cuda-host compute the bits that threads compute", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  const std::vector<std::string> words = {
      "verify",  "--checkpoint", fixture("gpt2-tiny"), "--batch",   "1",    "--seq", "4",
      "--dtype", "f64",          "--device",           "cuda-host", "--tp", "2"};
  REQUIRE(tplab(joined(words, {"--trace", folder / "threads.jsonl"})).exit_code == 0);
  const Ran ran = tplab_under_mpi(2, joined(words, {"--trace-against", folder / "threads.jsonl"}));
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
}

TEST_CASE("mpi: gradients and five steps are the same, also of replicas", "[mpi][slow]") {
  if (!has_mpi()) return;
  check_same(2, {"verify", "--backward", "--checkpoint", fixture("gpt2-tiny"), "--batch", "4",
                 "--seq", "8", "--steps", "5", "--dp", "1", "--json"});
  check_same(4,
             {"verify", "--backward", "--checkpoint", fixture("gpt2-tiny"), "--batch", "4", "--seq",
              "8", "--steps", "2", "--tp", "2", "--dp", "2", "--dtype", "f64", "--json"});
}

TEST_CASE("mpi: generation gives the same tokens, printed once", "[mpi]") {
  if (!has_mpi()) return;
  const std::vector<std::string> words = {"generate", "--preset",  "nano-cpu", "--tokens",
                                          "1,2,3",    "--max-new", "8"};
  const Ran by_mpi = tplab_under_mpi(2, words);
  INFO(by_mpi.err);
  REQUIRE(by_mpi.exit_code == 0);
  std::vector<std::string> by_threads = words;
  by_threads.insert(by_threads.end(), {"--tp", "2"});
  CHECK(by_mpi.out == tplab(by_threads).out);
}

TEST_CASE("mpi: a trace has the same scopes and collectives", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  const std::vector<std::string> words = {
      "trace", "--checkpoint", fixture("gpt2-tiny"), "--tp", "2", "--seq", "8", "-o"};
  std::vector<std::string> a = words, b = words;
  a.push_back(folder / "mpi.json");
  b.push_back(folder / "threads.json");
  const Ran by_mpi = tplab_under_mpi(2, a);
  INFO(by_mpi.err);
  REQUIRE(by_mpi.exit_code == 0);
  REQUIRE(tplab(b).exit_code == 0);
  const auto names = [&](const char* file) {
    std::multiset<std::string> all;
    for (const Json& event : Json::parse(file_text(folder / file))["traceEvents"])
      all.insert(event.value("name", "") + " " + std::to_string(event.value("pid", 0)) + " " +
                 event.value("ph", ""));
    return all;
  };
  CHECK(names("mpi.json") == names("threads.json"));
}

std::vector<std::string> small_training(const std::string& out) {
  return {"train", "--layers",        "1", "--heads",        "2",   "--width",    "16", "--block",
          "16",    "--batch",         "4", "--eval-batches", "1",   "--seed",     "3",  "--out",
          out,     "--eval-interval", "0", "--dtype",        "f64", "--no-sample"};
}

TEST_CASE("mpi: training saves what threads save, and each goes on with the other's", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  const auto model = [&](const std::string& run) {
    return file_text(folder / (run + "/ckpt.safetensors"));
  };
  const auto tensors = [&](const std::string& run) {  // what is in front says where, and when
    const std::string text = model(run);
    REQUIRE(text.size() > 8);
    uint64_t header = 0;
    std::memcpy(&header, text.data(), 8);
    return text.substr(std::min<size_t>(text.size(), 8 + header));
  };
  const auto good = [](const Ran& ran) {
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
  };
  good(tplab(joined(small_training(folder / "a"), {"--steps", "3", "--tp", "2"})));
  good(tplab_under_mpi(2, joined(small_training(folder / "b"), {"--steps", "3"})));
  CHECK(tensors("a") == tensors("b"));
  good(tplab_under_mpi(2, {"train", "--resume", folder / "a", "--steps", "5", "--no-sample"}));
  good(tplab({"train", "--resume", folder / "b", "--steps", "5", "--no-sample"}));
  CHECK(tensors("a") == tensors("b"));
}

TEST_CASE("mpi: replicas train in processes too, and write one sample", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  auto words = small_training(folder / "a");
  words.pop_back();  // --no-sample
  const Ran ran = tplab_under_mpi(2, joined(words, {"--steps", "2", "--dp", "2", "--zero", "2"}));
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("a sample"));
}

TEST_CASE("mpi: benchmarks and a timeline run in processes", "[mpi]") {
  if (!has_mpi()) return;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"bench", "collectives", "--max", "4K", "--repeat", "2", "--json"},
           {"bench", "forward", "--preset", "nano-cpu", "--repeat", "1", "--seq", "8", "--json"},
           {"bench", "train", "--preset", "nano-cpu", "--repeat", "1", "--seq", "8", "--steps", "1",
            "--json"},
           {"draw", "timeline", "--preset", "nano-cpu", "--seq", "8", "--json"}}) {
    const Ran ran = tplab_under_mpi(2, words);
    INFO(words[1] << "\n" << ran.err);
    CHECK(ran.exit_code == 0);
    static_cast<void>(ran.json());
  }
}

TEST_CASE("mpi: a tp that the processes contradict is refused, and so is none at all", "[mpi]") {
  if (!has_mpi()) return;
  const Ran two = tplab_under_mpi(2, {"verify", "--preset", "nano-cpu", "--tp", "4"});
  CHECK(two.exit_code == 2);
  CHECK_THAT(two.err, Contains("tp 4 needs 4 processes, and the launcher has started 2\n  fix: use "
                               "--tp 2, or start it with -n 4"));
  CHECK(two.err.find("tp 4 needs") == two.err.rfind("tp 4 needs"));
  const Ran none =
      tplab({"generate", "--preset", "nano-cpu", "--tokens", "1", "--tp", "2", "--comm", "mpi"});
  CHECK(none.exit_code == 2);
  CHECK_THAT(none.err, Contains("tp 2 with mpi needs 2 processes, and no launcher has started this "
                                "one\n  fix: start it with a launcher: mpirun -n 2 tplab"));
}

TEST_CASE("mpi: two builds that differ refuse each other", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  const std::string other = folder / "tplab";
  std::filesystem::copy_file(TPLAB_COMMAND, other);
  std::ofstream(other, std::ios::app) << "x";
  const std::vector<std::string> words = {"verify", "--preset", "nano-cpu", "--comm", "mpi"};
  auto all = under_mpi(1, joined({TPLAB_COMMAND}, words));
  all = joined(all, joined({":", "-n", "1", other}, words));
  const Ran ran = Started(all, launched()).wait();
  INFO(ran.err);
  CHECK(ran.exit_code != 0);
  CHECK_THAT(ran.err, Contains("the processes are not of one build"));
  CHECK_THAT(ran.err, Contains("rank 1 on "));
}

TEST_CASE("mpi: processes of another MPI's launcher are named as that", "[mpi]") {
  if (!has_mpi() || !has_mpich()) return;
  const Ran ran =
      Started(under_mpich(2, {TPLAB_COMMAND, "verify", "--preset", "nano-cpu", "--comm", "mpi"}),
              launched())
          .wait();
  INFO(ran.err);
  CHECK(ran.exit_code == 2);
  CHECK_THAT(ran.err, Contains("a launcher has started 2 processes (PMI_SIZE=2), but each sees "
                               "itself alone"));
}

// Of the processes with this word, the one whose environment says that it is rank 1.
pid_t second_process(const std::string& word) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string environment = file_text(entry.path() / "environ");
    if (environment.find("OMPI_COMM_WORLD_RANK=1") != std::string::npos &&
        file_text(entry.path() / "cmdline").find(word) != std::string::npos)
      return std::stoi(entry.path().filename());
  }
  throw std::runtime_error("no second process has " + word);
}

TEST_CASE("mpi: processes that are not given the same words are refused, and what differs is shown",
          "[mpi]") {
  if (!has_mpi()) return;
  const std::vector<std::string> words = {TPLAB_COMMAND, "train", "--comm", "mpi", "--lr"};
  auto all = under_mpi(1, joined(words, {"1e-3"}));
  all = joined(all, joined({":", "-n", "1"}, joined(words, {"1e-2"})));
  const Ran ran = Started(all, launched()).wait();
  INFO(ran.err);
  CHECK(ran.exit_code == 2);
  CHECK_THAT(ran.err, Contains("tplab: the processes were not given the same words\n"
                               "  rank 0: tplab train --comm mpi --lr 1e-3\n"
                               "  rank 1: tplab train --comm mpi --lr 1e-2\n"));
  CHECK(ran.err.find("not given") == ran.err.rfind("not given"));
}

TEST_CASE("mpi: what one process alone lacks is all that is said", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder here, there;
  std::filesystem::copy(fixture("nanogpt-tiny/ckpt.pt"), here / "ckpt.pt");
  const std::vector<std::string> words = {TPLAB_COMMAND, "generate", "--comm",       "mpi",
                                          "--tokens",    "1",        "--checkpoint", "ckpt.pt"};
  auto all = under_mpi(1, joined({"-wdir", here / ""}, words));
  all = joined(all, joined({":", "-n", "1", "-wdir", there / ""}, words));
  const Ran ran = Started(all, launched()).wait();
  INFO(ran.err);
  CHECK(ran.exit_code == 3);
  CHECK_THAT(ran.err, StartsWith("tplab: rank 1: ckpt.pt: "));
  CHECK_THAT(ran.err, !Contains("released") && !Contains("a bug"));
}

TEST_CASE("mpi: another file under the same name is refused in all processes", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder here, there;
  const auto begun = [](const std::string& folder, const char* seed) {
    auto words = joined(small_training(folder), {"--steps", "1"});
    std::replace(words.begin(), words.end(), std::string("3"), std::string(seed));
    const Ran ran = tplab(words);
    REQUIRE(ran.exit_code == 0);
  };
  begun(here / "run", "1");
  begun(there / "run", "2");
  for (const std::vector<std::string>& what :
       {std::vector<std::string>{"generate", "--checkpoint", "run", "--tokens", "1"},
        {"train", "--resume", "run", "--steps", "2"}}) {
    const auto words = joined({TPLAB_COMMAND}, joined(what, {"--comm", "mpi", "--tp", "2"}));
    auto all = under_mpi(1, joined({"-wdir", here / ""}, words));
    all = joined(all, joined({":", "-n", "1", "-wdir", there / ""}, words));
    const Ran ran = Started(all, launched()).wait();
    INFO(ran.err);
    CHECK(ran.exit_code == 3);
    CHECK_THAT(ran.err, Contains("tplab: run: rank 1 reads something else under this name"));
  }
}

TEST_CASE("mpi: processes without --comm mpi are told that each is alone", "[mpi]") {
  if (!has_mpi()) return;
  const Ran ran = Started(under_mpi(2, {TPLAB_COMMAND, "generate", "--preset", "nano-cpu",
                                        "--tokens", "1", "--max-new", "1"}),
                          launched())
                      .wait();
  CHECK(ran.exit_code == 0);
  const std::string note = "tplab: note: each of the 2 processes (OMPI_COMM_WORLD_SIZE=2) does all";
  CHECK_THAT(ran.err, Contains(note));
  CHECK(ran.err.find(note) == ran.err.rfind(note));
}

TEST_CASE("mpi: training that is asked to stop in any of its processes saves and ends", "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  auto words = small_training(folder / "a");
  words = joined({TPLAB_COMMAND}, joined(words, {"--steps", "100000", "--comm", "mpi"}));
  std::replace(words.begin(), words.end(), std::string("0"), std::string("5"));  // saves often
  Started started(under_mpi(2, words), launched());
  while (!std::filesystem::exists(folder / "a/ckpt.safetensors")) usleep(20000);
  kill(second_process(folder / "a"), SIGTERM);
  const Ran ran = started.wait();
  INFO(ran.err);
  CHECK(ran.exit_code == 128 + SIGTERM);
  CHECK_THAT(ran.err, Contains("all saved; go on with"));
}

TEST_CASE("mpi: a run whose process is killed ends in seconds, and what was saved is whole",
          "[mpi]") {
  if (!has_mpi()) return;
  TemporaryFolder folder;
  auto words = small_training(folder / "a");
  words = joined({TPLAB_COMMAND}, joined(words, {"--steps", "100000", "--comm", "mpi"}));
  std::replace(words.begin(), words.end(), std::string("0"), std::string("5"));  // saves often
  Started run(under_mpi(2, words), launched());
  while (!std::filesystem::exists(folder / "a/ckpt.safetensors")) usleep(20000);
  const pid_t victim = second_process(folder / "a");
  kill(victim, SIGKILL);
  const Ran ran = run.wait();
  INFO(ran.err);
  CHECK(ran.exit_code != 0);
  CHECK_THAT(ran.err, Contains(fmt::format("rank 1 is gone: process {}", victim)));
  CHECK(tplab({"info", "--checkpoint", folder / "a"}).exit_code == 0);
}

TEST_CASE("mpi: MPICH gives the same at two processes", "[mpi]") {
  if (!has_mpich()) return;
  std::vector<std::string> words = {"verify",
                                    "--checkpoint",
                                    fixture("gpt2-tiny"),
                                    "--batch",
                                    "1",
                                    "--seq",
                                    "8",
                                    "--json",
                                    "--tp",
                                    "2"};
  const Json by_threads = what_it_says(tplab(words));
  words.insert(words.begin(), TPLAB_MPICH_COMMAND);
  words = joined(words, {"--comm", "mpi"});
  CHECK(what_it_says(Started(under_mpich(2, words), launched()).wait()) == by_threads);
}

}  // namespace
}  // namespace tplab::testing
