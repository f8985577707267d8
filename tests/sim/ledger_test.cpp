// A ledger's sites: one a place, however many there are.
#include "sim/machine/ledger.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "sim/machine/imbalance.h"
#include "sim/machine/rank_times.h"

using namespace tplab;

TEST_CASE("Ledger: a place is one site, told apart by its parent and its name") {
  Ledger ledger;
  const Site* const a = ledger.site(ledger.root(), "a");
  const Site* const b = ledger.site(ledger.root(), "b");
  const Site* const ab = ledger.site(a, "b");
  CHECK(std::set{ledger.root(), a, b, ab}.size() == 4);
  CHECK(ab->path() == "a/b");
  Ledger moved = std::move(ledger);
  CHECK(moved.site(a, "b") == ab);
  CHECK(moved.site(moved.root(), "a") == a);
  Ledger other;
  CHECK(other.site(other.site(other.root(), "a"), "b")->hash == ab->hash);
  CHECK(other.site(other.site(other.root(), "b"), "a")->hash != ab->hash);
}

// As of a model of 40,000 layers. Going through all of them for each takes longer than CTest waits.
TEST_CASE("Ledger: 400,000 sites are found twice") {
  Ledger ledger;
  std::set<const Site*> sites;
  for (int twice = 0; twice < 2; ++twice)
    for (int i = 0; i < 400'000; ++i) sites.insert(ledger.site(ledger.root(), std::to_string(i)));
  CHECK(sites.size() == 400'000);
}

TEST_CASE("a rank's time is computing but for its collectives, which are waiting and then moving") {
  const std::vector<Event> events = {
      {.wire_bytes = 100, .start_ns = 10, .agreed_ns = 25, .end_ns = 30},
      {.wire_bytes = 1, .start_ns = 60, .agreed_ns = 60, .end_ns = 67}};
  const RankTimes times = rank_times(events, 90);
  CHECK(times.waiting_ns == 15);
  CHECK(times.moving_ns == 5 + 7);
  CHECK(times.computing_ns == 90 - 27);
  CHECK(times.total_ns() == 90);
  CHECK(times.sent_bytes == 101);
  CHECK(times.calls == 2);
}

TEST_CASE("imbalance: against the mean of what is given, none alone or of nothing") {
  using Values = std::vector<std::optional<double>>;
  const auto of_three = imbalances({3.0, {}, 1.0});
  CHECK(of_three[0] == Approx(0.5));
  CHECK(!of_three[1]);
  CHECK(of_three[2] == Approx(-0.5));
  CHECK(imbalances({5.0, {}}) == Values{{}, {}});
  CHECK(imbalances({0.0, 0.0}) == Values{{}, {}});
  CHECK(imbalances({}).empty());
}
