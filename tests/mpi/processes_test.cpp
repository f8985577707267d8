// Ranks that are processes, without a model: collectives, agreement, and what goes wrong. Under an
// MPI launcher, and most of it by sockets too.
#include <catch2/catch.hpp>
#include <chrono>

#include "launch.h"

namespace tplab::testing {
namespace {

using Catch::Contains;
using Catch::StartsWith;

TEST_CASE("mpi: every collective by every algorithm gives the bits and the bytes of threads",
          "[mpi]") {
  if (!has_mpi()) return;
  std::vector<Ran> all = case_by_each(3, "algorithms");
  all.push_back(mpi_case(2, "algorithms"));
  all.push_back(mpi_case(4, "algorithms"));
  for (const Ran& ran : all) {
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK_THAT(ran.out, Contains("calls are the same"));
  }
}

TEST_CASE("mpi: memory that the host does not reach, as a GPU's, is never touched by it", "[mpi]") {
  if (!has_mpi()) return;
  const Ran ran = mpi_case(2, "far_memory");
  INFO(ran.err);
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("calls are the same"));
}

TEST_CASE("mpi: calls that differ are one error, which lists what every rank called", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "disagree")) {
    CHECK(ran.exit_code == 1);
    CHECK_THAT(ran.err, Contains("ranks of a group made calls that differ in elements"));
    CHECK_THAT(ran.err, Contains("rank 0: called all_reduce #0 of 4 f64 at block 3"));
    CHECK_THAT(ran.err, Contains("rank 1: called all_reduce #0 of 5 f64 at block 3"));
    CHECK_THAT(ran.err, Contains("rank 2: called all_reduce #0 of 4 f64 at block 3"));
    CHECK(ran.err.find("calls that differ") == ran.err.rfind("calls that differ"));  // said once
  }
}

TEST_CASE("mpi: a rank that returns early is named, with what the others wait in", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "return_early")) {
    CHECK(ran.exit_code == 1);
    CHECK_THAT(ran.err, Contains("waits for rank 1, which has returned"));
    CHECK_THAT(ran.err, Contains("rank 0: waiting in barrier #0 at block 3"));
    CHECK_THAT(ran.err, Contains("rank 1: returned after 0 collectives"));
  }
}

TEST_CASE("mpi: an exception ends all processes, once said, with its rank and exit code", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "throws")) {
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Contains("rank 1: no such thing\n  fix: do without it"));
    CHECK(ran.err.find("no such thing") == ran.err.rfind("no such thing"));
  }
}

TEST_CASE("mpi: what follows a failed run is decided alike, and another run works", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(2, "go_on")) {
    INFO(ran.err);
    CHECK(ran.exit_code == 0);
    CHECK_THAT(ran.out, Contains("rank 1: not this one; filled in 7 8; then 3 3"));
  }
}

TEST_CASE("mpi: who keeps the others waiting is named at the deadline", "[mpi]") {
  if (!has_mpi()) return;
  Job by_sockets(2, {TPLAB_MPI_CASES, "deadline"});  // nobody ends the other one
  for (const Ran& ran : {mpi_case(2, "deadline"), by_sockets.process(0).wait()}) {
    CHECK(ran.exit_code == 1);
    CHECK_THAT(ran.err, Contains("rank 0 has waited for 0.5 s, waiting in barrier #0 at block 3"));
    CHECK_THAT(ran.err, Contains("rank 1: has not come; process "));
  }
}

TEST_CASE("mpi: one that stands still is named at the deadline, whoever waits for it", "[mpi]") {
  if (!has_mpi()) return;
  const Ran ran = mpi_case(4, "stopped");
  INFO(ran.err);
  CHECK(ran.exit_code == 1);
  CHECK_THAT(ran.err, Contains("rank 1 (dp 0, tp 1): has not come; process "));
  CHECK_THAT(ran.err, Contains("rank 3 (dp 1, tp 1): process ") && Contains(" is stopped"));
}

TEST_CASE("mpi: where one of them never begins, the others say so and end", "[mpi]") {
  if (!has_mpi()) return;
  auto words = under_mpi(1, {TPLAB_MPI_CASES, "impatient"});
  words.insert(words.end(), {":", "-n", "1", "sleep", "60"});
  const Ran ran = Started(words, launched()).wait();
  CHECK(ran.exit_code == 1);
  CHECK_THAT(ran.err, Contains("rank 0 has waited for 1 s until MPI has begun in all processes, "
                               "OMPI_COMM_WORLD_SIZE=2\n  fix: "));
}

TEST_CASE("mpi: a process that is killed is named, and the call where it is missed", "[mpi]") {
  if (!has_mpi()) return;
  for (const int n : {2, 4}) {
    const auto start = std::chrono::steady_clock::now();
    for (const Ran& ran : case_by_each(n, "killed")) {
      INFO(ran.err);
      CHECK(ran.exit_code != 0);
      CHECK_THAT(ran.err, Contains("rank 1 is gone: process "));
      CHECK_THAT(ran.err, Contains(" at block 3"));  // in barrier #1, or on its way there
    }
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  }
}

TEST_CASE("mpi: a process that is killed while the others compute ends them", "[mpi]") {
  if (!has_mpi()) return;
  const Ran ran = mpi_case(2, "killed_while_computing");
  INFO(ran.err);
  CHECK(ran.exit_code != 0);
  CHECK_THAT(ran.err, Contains("rank 1 is gone: process "));
  CHECK_THAT(ran.err, Contains("rank 0 is ended by SIGTERM, computing at block 3"));
}

TEST_CASE("mpi: what one process alone cannot do is said by the first, with its rank", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "leaves_the_program")) {
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, StartsWith("rank 1: there is no such file here\n  fix: look for it\n"));
  }
}

TEST_CASE("mpi: a process that ends well while others wait for it is named", "[mpi]") {
  if (!has_mpi()) return;
  const Ran ran = mpi_case(2, "leaves_well");
  CHECK(ran.exit_code == 1);
  CHECK_THAT(ran.err, StartsWith("rank 1 is done and has left, and rank 0 is still waiting in "
                                 "barrier #0 at block 3\n  fix: "));
}

TEST_CASE("mpi: what is done once is done by rank 0, and fails for all", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "once_only")) {
    CHECK_THAT(ran.out, Contains("once: 1 by 0 0 by 0 0 by 0"));
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, StartsWith("a full disk\n  fix: make room\n"));
  }
}

TEST_CASE("mpi: groups that are split off agree and sum by themselves", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(4, "split")) {
    INFO(ran.err);
    CHECK_THAT(ran.out, Contains("split: 1/2 4 1/2 6 0/2 4 0/2 6"));
  }
}

TEST_CASE("mpi: a send waits for its recv, and both agree on what it is", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(3, "point_to_point"))
    CHECK_THAT(ran.out, Contains("received true"));
  for (const Ran& ran : case_by_each(2, "another_message")) {
    CHECK(ran.exit_code == 1);
    CHECK_THAT(ran.err, Contains("a message is not what its receiver expects"));
    CHECK_THAT(ran.err, Contains("rank 0: called send of 4 f64 to rank 1 at here"));
    CHECK_THAT(ran.err, Contains("rank 1: called recv of 5 f64 from rank 0 at there"));
  }
}

TEST_CASE("mpi: the two axes of a mesh are two groups", "[mpi]") {
  if (!has_mpi()) return;
  for (const Ran& ran : case_by_each(4, "mesh")) {
    INFO(ran.err);
    CHECK_THAT(ran.out, Contains("mesh: 1 5 1 5 5 5 5 5"));
  }
}

}  // namespace
}  // namespace tplab::testing
