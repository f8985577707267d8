// A rank's clock: what a run measures is read from it, whatever it says.

#include "sim/clock.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "counting_clock.h"
#include "ranks.h"

namespace tplab {

TEST_CASE("clock: the ledger has the times of each rank's own") {
  WorldOptions options{.tp = 2};
  options.make_clock = [](int rank) { return std::make_unique<CountingClock>(rank + 1); };
  const auto records = World(options).run([](Rank& rank) {
    Array x = make_array(rank, DType::f32, 4, [](int64_t i) { return static_cast<double>(i); });
    rank.comm().all_reduce(x);
    rank.comm().all_reduce(x);
  });
  for (size_t r = 0; r < 2; ++r) {
    const auto step = static_cast<int64_t>(r) + 1;
    const std::vector<Event>& events = records[r].ledger.events();
    REQUIRE(events.size() == 2);
    CHECK(events[0].start_ns == step);
    CHECK(events[0].agreed_ns == 2 * step);
    CHECK(events[0].end_ns == 3 * step);
    CHECK(events[1].start_ns == 4 * step);
    CHECK(events[1].agreed_ns == 5 * step);
    CHECK(events[1].end_ns == 6 * step);
  }
}

TEST_CASE("clock: a rank has agreed when the last of its group has made the call, and not before") {
  const auto records = World({.tp = 3}).run([](Rank& rank) {
    Array x = make_array(rank, DType::f32, 4, [](int64_t i) { return static_cast<double>(i); });
    if (rank.index() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    rank.comm().all_reduce(x);
  });
  for (const RankRecord& record : records) {
    const Event& event = record.ledger.events().at(0);
    CHECK(event.agreed_ns >= records[1].ledger.events().at(0).start_ns);
    CHECK(event.agreed_ns <= event.end_ns);
  }
}

TEST_CASE("clock: a world without one has the machine's") {
  const int64_t before = now_ns();
  World({}).run([&](Rank& rank) { CHECK(rank.clock().now_ns() >= before); });
}

}  // namespace tplab
