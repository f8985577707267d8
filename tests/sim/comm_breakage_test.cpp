// What tests rely on when they break communication on purpose.

#include "sim/comm_breakage.h"

#include <catch2/catch.hpp>

#include "ranks.h"

namespace tplab {
namespace {

double sum_on(CommBreakage breakage, int n, std::vector<RankRecord>* records = nullptr) {
  World world({.tp = n, .comm_breakage = std::move(breakage)});
  auto ran = world.run([](Rank& rank) {
    Array x = make_array(rank, DType::f64, 1, [&](int64_t) { return rank.index() + 1; });
    rank.comm().all_reduce(x);
    return x.as<double>()[0];
  });
  if (records) *records = std::move(ran.records);
  return ran.results[0];
}

}  // namespace

TEST_CASE("comm breakage: what is done before ranks meet is what peers sum") {
  REQUIRE(sum_on({}, 4) == 1 + 2 + 3 + 4);
  const CommBreakage doubled = {.before = [](Rank& rank, const Post& call) {
    if (rank.index() == 3) *static_cast<double*>(call.out) *= 2;
  }};
  CHECK(sum_on(doubled, 4) == 1 + 2 + 3 + 8);
}

TEST_CASE("comm breakage: a transport's place is taken whole, and the ledger has what it says") {
  const CommBreakage made_up = {
      .move = [](Transport&, Rank&, const Post& call, const Array&, Array& out) -> int64_t {
        out.as<double>()[0] = static_cast<double>(call.elements) + 0.5;
        return 77;
      }};
  std::vector<RankRecord> records;
  CHECK(sum_on(made_up, 2, &records) == 1.5);
  for (const RankRecord& record : records) CHECK(record.ledger.events().at(0).wire_bytes == 77);
}

TEST_CASE("comm breakage: ranks that skip a call do not keep their peers waiting for ever") {
  const CommBreakage gives_up = {.before = [](Rank& rank, const Post&) {
    if (rank.index() == 1) fail("it never comes", "let it come");
  }};
  CHECK_THROWS_WITH(sum_on(gives_up, 3), Catch::Contains("rank 1: it never comes"));
}

TEST_CASE("comm breakage: a part of a group is honest") {
  const CommBreakage dropped = {
      .move = [](Transport&, Rank&, const Post&, const Array&, Array&) -> int64_t { return 0; }};
  World world({.tp = 4, .comm_breakage = dropped});
  const auto [results, records] = world.run([](Rank& rank) {
    const auto part = rank.comm().split(rank.index() % 2, 0);
    Array x = make_array(rank, DType::f64, 1, [&](int64_t) { return rank.index() + 1; });
    rank.comm().all_reduce(x);
    part->all_reduce(x);
    return x.as<double>()[0];
  });
  CHECK(results == std::vector<double>{1 + 3, 2 + 4, 1 + 3, 2 + 4});
}

}  // namespace tplab
