// A ledger's sites: one a place, however many there are.
#include "sim/machine/ledger.h"

#include <catch2/catch.hpp>
#include <set>
#include <string>

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
