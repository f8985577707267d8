// The fork-join team: every index once, whatever the sizes, and no wake-up lost.
#include "sim/threads/crew.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/sim/team.h"

namespace tplab {
namespace {

using Part = std::pair<int64_t, int64_t>;

std::set<Part> parts_of(Crew& crew, int64_t n, int64_t grain) {
  std::mutex mutex;
  std::set<Part> parts;
  crew.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard lock(mutex);
    parts.emplace(begin, end);
  });
  return parts;
}

TEST_CASE("parallel_for: parts cover every index once, nearly equal, none shorter than the grain") {
  for (const int lanes : {1, 2, 3, 7}) {
    Team team(lanes);
    for (const int64_t n : {0, 1, 2, 3, 5, 7, 100, 1001}) {
      for (const int64_t grain : {0, 1, 2, 50, 5000}) {
        int64_t next = 0, shortest = n, longest = 0;
        const std::set<Part> parts = parts_of(team.crew(), n, grain);
        for (const auto& [begin, end] : parts) {
          CHECK(begin == next);
          next = end;
          shortest = std::min(shortest, end - begin);
          longest = std::max(longest, end - begin);
        }
        CHECK(next == n);
        CHECK(static_cast<int>(parts.size()) <= lanes);
        if (n > 0) CHECK(longest - shortest <= 1);
        if (parts.size() > 1) CHECK(shortest >= grain);
        if (grain <= 1) CHECK(static_cast<int64_t>(parts.size()) == std::min<int64_t>(n, lanes));
      }
    }
  }
}

TEST_CASE("parallel_for: which indices go together does not change from call to call") {
  Team team(3);
  const std::set<Part> first = parts_of(team.crew(), 100, 1);
  for (int i = 0; i < 100; ++i) REQUIRE(parts_of(team.crew(), 100, 1) == first);
}

TEST_CASE("parallel_for: a loop sees what the loop before it wrote on other lanes") {
  for (const bool oversubscribed : {false, true}) {
    Team team(3, oversubscribed);
    std::vector<int64_t> values(30);
    constexpr int kRounds = 2000;
    for (int round = 0; round < kRounds; ++round) {
      team.crew().parallel_for(30, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          values[static_cast<size_t>(i)] = values[static_cast<size_t>(i)] + i;
        }
      });
      // Read on lane 0, so that the join is exercised as well as the fork.
      REQUIRE(values[29] == 29 * (round + 1));
    }
  }
}

TEST_CASE("parallel_for: lanes that fell asleep wake up") {
  Team team(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // longer than a lane spins
    CHECK(parts_of(team.crew(), 2, 1).size() == 2);
  }
}

TEST_CASE("parallel_for: lane 0 waits for a lane that takes long") {
  Team team(2);
  std::atomic<int> done{0};
  team.crew().parallel_for(2, 1, [&](int64_t begin, int64_t) {
    if (begin > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ++done;
  });
  CHECK(done == 2);
}

TEST_CASE(
    "parallel_for: what a lane throws comes out when all lanes are done, then it works again") {
  Team team(3);
  for (int64_t thrower = 0; thrower < 4; ++thrower) {  // 3: all of them
    std::atomic<int> done{0};
    std::string what;
    try {
      team.crew().parallel_for(3, 1, [&](int64_t begin, int64_t) {
        if (begin == thrower || thrower == 3) throw std::runtime_error(std::to_string(begin));
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ++done;
      });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    CHECK(what == std::to_string(thrower % 3));
    CHECK(done == (thrower == 3 ? 0 : 2));
  }
  CHECK(parts_of(team.crew(), 3, 1) == std::set<Part>{{0, 1}, {1, 2}, {2, 3}});
}

TEST_CASE("Crew: close releases lanes that never got work, and ones that start to serve late") {
  Crew crew(3);
  std::thread early([&] { crew.serve(1); });
  crew.close();
  std::thread late([&] { crew.serve(2); });
  early.join();
  late.join();
  SUCCEED();
}

TEST_CASE("Crew: without lanes asked for there is still the rank's own") {
  Crew crew(0);
  CHECK(crew.lanes() == 1);
  CHECK(parts_of(crew, 10, 1) == std::set<Part>{{0, 10}});
}

}  // namespace
}  // namespace tplab
