// The same run over MPI as over threads: every operation, every collective, every bit.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "mpi/launch.h"

namespace tplab {
namespace {

using namespace testing;
using Words = std::vector<std::string>;

// What threads did, over again by as many processes.
void check_same_over_mpi(int processes, Words run, const Words& model = {"--preset", "nano-cpu"}) {
  CAPTURE(processes, run);
  const TemporaryFolder folder;
  const std::string trace = folder / "threads.jsonl";
  run.insert(run.begin(), model.begin(), model.end());
  run.insert(run.begin(), "verify");
  Words writing = run;
  writing.insert(writing.end(), {"--trace", trace});
  const Ran written = tplab(writing);
  INFO(written.out << written.err);
  REQUIRE(written.exit_code == 0);
  run.insert(run.end(), {"--trace-against", trace, "--json"});
  const Ran ran = tplab_under_mpi(processes, run);
  INFO(ran.out << ran.err);
  REQUIRE(ran.exit_code == 0);
  const nlohmann::json same = ran.json()["trace"];
  CHECK(same["theirs"] == "cpu, threads");
  CHECK(same["why_no_values"] == "");
  CHECK(same["values"] > 100 * processes);
  CHECK(same["difference"].is_null());
}

TEST_CASE("verify --trace-against: processes do what threads did, to the bit: a forward pass") {
  if (!has_mpi()) return;
  for (const char* algorithm : {"direct", "ring", "tree", "gather"})
    check_same_over_mpi(4, {"--tp", "4", "--seq", "8", "--algorithm", algorithm});
  check_same_over_mpi(1, {"--tp", "1", "--seq", "8"});
}

TEST_CASE("verify --trace-against: processes do what threads did, to the bit: five steps") {
  if (!has_mpi()) return;
  check_same_over_mpi(2, {"--backward", "--tp", "2", "--dp", "1", "--seq", "8", "--steps", "5"});
  for (const char* tp : {"1", "3", "4"})
    check_same_over_mpi(std::atoi(tp),
                        {"--backward", "--tp", tp, "--uneven", "--dp", "1", "--seq", "8", "--batch",
                         "1", "--steps", "5"},
                        {"--checkpoint", fixture("gpt2-tiny")});
}

TEST_CASE("verify --trace: the first process writes what all of them did") {
  if (!has_mpi()) return;
  const TemporaryFolder folder;
  const std::string processes = folder / "mpi.jsonl", threads = folder / "threads.jsonl";
  const Words run = {"verify", "--preset", "nano-cpu", "--tp", "2", "--seq", "8", "--trace"};
  Words over_mpi = run, over_threads = run;
  over_mpi.push_back(processes);
  over_threads.push_back(threads);
  REQUIRE(tplab_under_mpi(2, over_mpi).exit_code == 0);
  REQUIRE(tplab(over_threads).exit_code == 0);
  std::string mpi = file_text(processes);
  const size_t comm = mpi.find("\"comm\":\"mpi\"");
  REQUIRE(comm != mpi.npos);
  CHECK(mpi.replace(comm, 12, "\"comm\":\"threads\"") == file_text(threads));
}

}  // namespace
}  // namespace tplab
