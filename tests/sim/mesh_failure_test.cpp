// Runs on a mesh that cannot go on: each rank waits in one of two groups, and the error says which.

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "ranks.h"

namespace tplab {
namespace {

using Catch::Contains;

// Runs `body` at "head" on a mesh of 2 x 2, and checks that every rank's line is in the error.
std::string stuck(const std::function<void(Rank&)>& body) {
  const Failure failure = failure_of({.tp = 2, .dp = 2}, [&](Rank& rank) {
    const auto site = rank.at("head");
    body(rank);
  });
  CHECK(failure.kind == ErrorKind::run);
  CHECK(failure.seconds < kSoon);
  CHECK_THAT(failure.text, Contains("\n  rank 0 (dp 0, tp 0): "));
  CHECK_THAT(failure.text, Contains("\n  rank 1 (dp 0, tp 1): "));
  CHECK_THAT(failure.text, Contains("\n  rank 2 (dp 1, tp 0): "));
  CHECK_THAT(failure.text, Contains("\n  rank 3 (dp 1, tp 1): "));
  return failure.text;
}

Comm& group(Rank& rank, Axis axis) { return axis == Axis::tp ? rank.comm() : rank.dp_comm(); }

}  // namespace

TEST_CASE("ranks of a mesh that wait for each other in a circle are a deadlock, found at once") {
  // 0 waits in tp for 1, 1 in dp for 3, 3 in tp for 2, 2 in dp for 0. Ranks 2 and 3 are fine for a
  // while, and the others asleep.
  const std::string text = stuck([](Rank& rank) {
    const int g = rank.global_index();
    Array x = make_array(rank, DType::f32, 9, [](int64_t i) { return term(0, i); });
    for (int k = 0; k < 100 && g >= 2; ++k) rank.comm().all_reduce(x);
    const auto phase = rank.during(Phase::backward);
    group(rank, g == 0 || g == 3 ? Axis::tp : Axis::dp).all_reduce(x);
  });
  CHECK_THAT(text, Contains("deadlock: every rank waits for another"));
  const std::string call = "waiting in all_reduce #0 of 9 f32 at head (backward) among ranks ";
  const std::string later = "waiting in all_reduce #100 of 9 f32 at head (backward) among ranks ";
  CHECK_THAT(text, Contains("rank 0 (dp 0, tp 0): " + call + "0, 1 (tp)"));
  CHECK_THAT(text, Contains("rank 1 (dp 0, tp 1): " + call + "1, 3 (dp)"));
  CHECK_THAT(text, Contains("rank 2 (dp 1, tp 0): " + call + "0, 2 (dp)"));
  CHECK_THAT(text, Contains("rank 3 (dp 1, tp 1): " + later + "2, 3 (tp)"));
}

TEST_CASE("a rank that returns early is an error for its peers in either group") {
  for (const Axis axis : {Axis::tp, Axis::dp}) {
    const std::string text = stuck([axis](Rank& rank) {
      rank.comm().barrier();
      rank.dp_comm().barrier();
      if (rank.global_index() == 3) return;
      group(rank, axis).barrier();
    });
    const std::string peer = axis == Axis::tp ? "rank 2 (dp 1, tp 0)" : "rank 1 (dp 0, tp 1)";
    CHECK_THAT(text, Contains(peer + " waits for rank 3 (dp 1, tp 1), which has returned"));
    CHECK_THAT(text, Contains(peer + ": waiting in barrier #1 at head among ranks "));
    CHECK_THAT(text, Contains("rank 3 (dp 1, tp 1): returned after 2 collectives"));
  }
}

TEST_CASE("a rank's error reaches those who wait in the other group, and names its place") {
  for (const int thrower : {0, 3, 5}) {
    std::atomic<int> released = 0;
    const Failure failure = failure_of({.tp = 3, .dp = 2}, [&](Rank& rank) {
      if (rank.global_index() == thrower) throw Error(ErrorKind::bad_file, "no such tensor", "");
      try {
        for (;;) {
          rank.comm().barrier();
          rank.dp_comm().barrier();
        }
      } catch (const Error&) {
        ++released;
        throw;
      }
    });
    const std::string place = "rank " + std::to_string(thrower) + " (dp " +
                              std::to_string(thrower / 3) + ", tp " + std::to_string(thrower % 3) +
                              "): ";
    CHECK(failure.text == place + "no such tensor");
    CHECK(failure.kind == ErrorKind::bad_file);
    CHECK(failure.seconds < kSoon);
    CHECK(released == 5);
  }
}

TEST_CASE("replicas that reduce different sizes are told so, with their places") {
  const Failure failure = failure_of({.tp = 2, .dp = 2}, [](Rank& rank) {
    const auto site = rank.at("gradients");
    Array x = rank.device().allocate(DType::f32, {rank.dp_index() == 0 ? 8 : 12});
    rank.device().zero(x);
    rank.dp_comm().all_reduce(x);
  });
  CHECK_THAT(failure.text, Contains("differ in elements"));
  CHECK_THAT(failure.text, Contains("(dp 1, tp ") && Contains("of 12 f32 at gradients"));
}

TEST_CASE("the same call in different phases is an error") {
  const Failure failure = failure_of({.tp = 2}, [](Rank& rank) {
    const auto phase = rank.during(rank.index() == 0 ? Phase::forward : Phase::backward);
    rank.comm().barrier();
  });
  CHECK_THAT(failure.text, Contains("differ in phase"));
  CHECK_THAT(failure.text, Contains("rank 1: called barrier #0 (backward)"));
}

TEST_CASE("a rank of a mesh that does not come within the timeout is an error that says so") {
  const Failure failure = failure_of({.tp = 2, .dp = 2, .timeout_s = 0.1}, [](Rank& rank) {
    const auto site = rank.at("mlp");
    if (rank.global_index() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    rank.dp_comm().barrier();
    rank.comm().barrier();
  });
  CHECK_THAT(failure.text, Contains("has waited for 0.1 s"));
  CHECK_THAT(failure.text, Contains("rank 2 (dp 1, tp 0): computing at mlp"));
}

}  // namespace tplab
