// Several worlds that run one at a time, and what their ranks decide together.
#include "cli/worlds_in_turn.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <numeric>

#include "sim/error.h"

namespace tplab::cli {

namespace {

const std::vector<WorldOptions> kWorlds = {{.tp = 1}, {.tp = 2}, {.tp = 2, .dp = 2}};

}  // namespace

TEST_CASE("worlds in turn: each has every round, and bodies return what they did in it") {
  std::vector<std::pair<int64_t, size_t>> turns;
  const auto results = run_in_turn(
      kWorlds, 3, [&](int64_t round, size_t w) { turns.emplace_back(round, w); },
      [](size_t w, Rank& rank, RankTurns& mine) {
        std::vector<int> numbers;
        for (int turn = 0; mine.next(); ++turn)
          numbers.push_back(100 * static_cast<int>(w) + 10 * rank.global_index() + turn);
        return numbers;
      });
  CHECK(turns == std::vector<std::pair<int64_t, size_t>>{
                     {0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}});
  REQUIRE(results.size() == 3);
  for (size_t w = 0; w < results.size(); ++w) {
    REQUIRE(std::ssize(results[w]) == World(kWorlds[w]).ranks());
    for (size_t r = 0; r < results[w].size(); ++r) {
      const int first = static_cast<int>(100 * w + 10 * r);
      CHECK(results[w][r] == std::vector<int>{first, first + 1, first + 2});
    }
  }
}

TEST_CASE("worlds in turn: while one runs, no rank of another does") {
  std::array<std::atomic<int>, 3> running = {};
  const auto results = run_in_turn(
      kWorlds, 20, [](int64_t, size_t) {},
      [&](size_t w, Rank&, RankTurns& mine) {
        int others = 0;
        while (mine.next()) {
          ++running[w];
          for (size_t other = 0; other < running.size(); ++other)
            if (other != w) others += running[other];
          --running[w];
        }
        return others;
      });
  for (const std::vector<int>& of_world : results)
    CHECK(std::accumulate(of_world.begin(), of_world.end(), 0) == 0);
}

TEST_CASE("worlds in turn: a rank that fails ends all of them, and is what is thrown") {
  const auto run = [](int64_t bad_turn) {
    return run_in_turn(
        kWorlds, 5, [](int64_t, size_t) {},
        [&](size_t w, Rank& rank, RankTurns& mine) {
          int64_t turns = 0;
          for (; mine.next(); ++turns)
            if (w == 1 && rank.index() == 1 && turns == bad_turn) fail("a bad turn", "none");
          return turns;
        });
  };
  for (const int64_t bad_turn : {0, 3})
    CHECK_THROWS_WITH(run(bad_turn), Catch::Contains("rank 1") && Catch::Contains("a bad turn"));
  CHECK_NOTHROW(run(5));  // never comes
  CHECK_THROWS_WITH(run_in_turn(
                        kWorlds, 2, [](int64_t, size_t) {},
                        [&](size_t w, Rank&, RankTurns& mine) {
                          while (mine.next()) {
                          }
                          if (w == 1) fail("after the last turn", "none");
                          return 0;
                        }),
                    Catch::Contains("after the last turn"));
  CHECK_THROWS_WITH(run_in_turn(
                        kWorlds, 1, [](int64_t, size_t) { fail("no bar", "none"); },
                        [](size_t, Rank&, RankTurns& mine) { return int{mine.next()}; }),
                    Catch::Contains("no bar"));
}

}  // namespace tplab::cli
