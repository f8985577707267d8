// Collectives recorded step by step: each row of the algorithm table, and records that lie.
#include "viz/recording/collective_record.h"

#include <catch2/catch.hpp>

#include "sim/error.h"

using namespace tplab;
using Catch::Contains;

namespace {

CollectiveRecord ring_of_4() {
  return record_collective(find_algorithm(Op::all_reduce, Algorithm::ring), 4);
}

TEST_CASE("collective record: every algorithm does what it promises, in its steps and bytes") {
  for (const AlgorithmRow& row : algorithm_table())
    for (const int n : {2, 3, 4, 5, 8, 16}) {
      INFO(name(row.op) << " by " << name(row.algorithm) << ", " << n << " ranks");
      CHECK_NOTHROW(check(record_collective(row, n)));
      if (row.op == Op::broadcast) CHECK_NOTHROW(check(record_collective(row, n, n - 1)));
    }
}

TEST_CASE("collective record: a ring of 4 sends chunk r - step and ends complete at rank r") {
  const CollectiveRecord record = ring_of_4();
  CHECK(record.steps() == 6);
  REQUIRE(record.transfers.size() == 24);
  // ring.cpp's table: in step 0 rank 0 sends chunk 3, in step 1 chunk 2 with rank 3's term.
  CHECK(record.transfers[1] == Transfer{1, 0, 1, {{3, 0b0001}}});
  CHECK(record.transfers[5] == Transfer{2, 0, 1, {{2, 0b1001}}});
  CHECK(record.transfers[9] == Transfer{3, 0, 1, {{1, 0b1101}}});
  CHECK(record.transfers[13] == Transfer{4, 0, 1, {{0, 0b1111}}});
  CHECK(record.chunks_sent == std::vector<int64_t>(4, 6));
  const auto after = holdings(record);
  CHECK(after[1][1].at(3) == 0b0011);
  CHECK(after[3][0].at(0) == 0b1111);
}

TEST_CASE("collective record: a tree of 5 speaks whole tensors, rank 0 last and first") {
  const CollectiveRecord record =
      record_collective(find_algorithm(Op::all_reduce, Algorithm::tree), 5);
  std::vector<std::string> lines;
  for (const Transfer& t : record.transfers)
    lines.push_back(std::to_string(t.step) + ": " + std::to_string(t.from) + " -> " +
                    std::to_string(t.to) + " " + in_braces(t.chunks.begin()->second));
  CHECK(lines == std::vector<std::string>{"1: 1 -> 0 {1}", "1: 3 -> 2 {3}", "2: 2 -> 0 {2,3}",
                                          "3: 4 -> 0 {4}", "4: 0 -> 4 {0-4}", "5: 0 -> 2 {0-4}",
                                          "6: 0 -> 1 {0-4}", "6: 2 -> 3 {0-4}"});
}

TEST_CASE("collective record: one that lies is refused") {
  CollectiveRecord record = ring_of_4();
  record.transfers.erase(record.transfers.begin());
  CHECK_THROWS_WITH(check(record), Contains("does not hold"));
  record = ring_of_4();
  record.transfers[1].chunks = {{3, 0b0011}};
  CHECK_THROWS_WITH(check(record), Contains("in step 1 rank 0 sends {0,1} of chunk 3"));
  record = ring_of_4();
  record.transfers.pop_back();
  CHECK_THROWS_WITH(check(record), Contains("transfers do not give rank"));
  record = ring_of_4();
  record.end[2][1] = 0b0111;
  CHECK_THROWS_WITH(check(record), Contains("left rank 2 with something else"));
  record = ring_of_4();
  record.chunks_sent[3] = 5;
  CHECK_THROWS_WITH(check(record), Contains("rank 3 sent 5 chunks"));
  record = ring_of_4();
  record.row = &find_algorithm(Op::all_reduce, Algorithm::direct);
  CHECK_THROWS_WITH(check(record), Contains("took 6 steps, where the table says 2"));
}

TEST_CASE("collective record: the algorithm's own mistakes are seen") {
  AlgorithmRow row = find_algorithm(Op::all_reduce, Algorithm::ring);
  row.run = [](Links& links, const Exchange& x) {  // the second half is forgotten
    ring_reduce_scatter(links, {x.in, chunk(x.out, links.rank(), links.size(), x.dtype), x.dtype,
                                x.reduce, x.root});
  };
  CHECK_THROWS_AS(check(record_collective(row, 4)), Error);
  row.run = [](Links& links, const Exchange& x) {  // its own term is added twice
    tree_all_reduce(links, x);
    combine(links, x, std::array<const void*, 2>{x.out.data(), x.out.data()}, x.out);
  };
  CHECK_THROWS_AS(check(record_collective(row, 4)), Error);
}

TEST_CASE("collective record: too many ranks to draw, and too few, are refused") {
  const AlgorithmRow& row = find_algorithm(Op::broadcast, Algorithm::tree);
  CHECK_THROWS_WITH(record_collective(row, 17), Contains("use --tp 2 to 16"));
  CHECK_THROWS_WITH(record_collective(row, 1), Contains("of 1 rank cannot"));
}

TEST_CASE("in_braces: ranges") {
  CHECK(in_braces(0b1) == "{0}");
  CHECK(in_braces(0b1011) == "{0,1,3}");
  CHECK(in_braces(0b1011111) == "{0-4,6}");
}

}  // namespace
