// Batches: where their sequences begin, and what that depends on.
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "model/training/dataset.h"

using namespace tplab;

namespace {

// 0, 1, 2, ...: so that a sequence's first id says where it starts.
std::vector<int32_t> counting(int32_t n) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back(i);
  return ids;
}

Dataset counting_dataset(int32_t n_train, int32_t n_val) {
  Dataset data;
  data.train = TokenList(counting(n_train));
  data.val = TokenList(counting(n_val));
  data.vocab_size = std::max(n_train, n_val);
  return data;
}

}  // namespace

TEST_CASE("batches: y is x one token later, both from the part that was asked for") {
  const Dataset data = counting_dataset(1000, 50);
  for (const Part part : {Part::train, Part::val}) {
    const Batch batch = sample(data, part, 3, {0, 40}, 8, 1337);
    CHECK(batch.x.shape() == Shape{40, 8});
    CHECK(batch.y.shape() == Shape{40, 8});
    REQUIRE(batch.x.ids.size() == 320);
    REQUIRE(batch.y.ids.size() == 320);
    int32_t largest = 0;
    for (size_t i = 0; i < 320; ++i) {
      REQUIRE(batch.y.ids[i] == batch.x.ids[i] + 1);
      if (i % 8 != 0) REQUIRE(batch.x.ids[i] == batch.x.ids[i - 1] + 1);
      largest = std::max(largest, batch.y.ids[i]);
    }
    CHECK(largest < data.part(part).size());
    CHECK((part == Part::val || largest > 50));
  }
}

TEST_CASE("batches: a sequence depends on seed, part, step and its place in the batch, no more") {
  const Dataset data = counting_dataset(1'000'000, 1'000'000);
  const auto x = [&](Part part, int64_t step, Range sequences, uint64_t seed) {
    return sample(data, part, step, sequences, 2, seed).x.ids;
  };
  const std::vector<int32_t> whole = x(Part::train, 5, {0, 12}, 1);
  CHECK(whole == x(Part::train, 5, {0, 12}, 1));
  // Any division over data-parallel ranks draws the same sequences.
  for (const int64_t ranks : {2, 3, 4}) {
    std::vector<int32_t> parts;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      const std::vector<int32_t> part =
          x(Part::train, 5, {rank * 12 / ranks, (rank + 1) * 12 / ranks}, 1);
      parts.insert(parts.end(), part.begin(), part.end());
    }
    CHECK(parts == whole);
  }
  std::set<int32_t> starts;  // 60 of a million: two are equal with probability 0.002, for one seed
  for (size_t i = 0; i < 12; ++i) {
    starts.insert(whole[2 * i]);
    starts.insert(x(Part::train, 5, {0, 12}, 2)[2 * i]);
    starts.insert(x(Part::train, 6, {0, 12}, 1)[2 * i]);
    starts.insert(x(Part::val, 5, {0, 12}, 1)[2 * i]);
    starts.insert(x(Part::train, 5, {12, 24}, 1)[2 * i]);
  }
  CHECK(starts.size() == 60);
}

TEST_CASE("batches: every start is drawn, the first and the last too, about equally often") {
  const Dataset data = counting_dataset(13, 13);  // 13 - 3 = 10 starts
  std::map<int32_t, int> drawn;
  for (const int32_t first : sample(data, Part::train, 0, {0, 10'000}, 3, 7).x.ids) ++drawn[first];
  // Ids 0 and 11 begin or end one start's sequence only. Of 10^4 draws, 1000 are expected each,
  // with a standard deviation of 30: six of them are 180.
  CHECK(drawn.size() == 12);
  CHECK(std::abs(drawn[0] - 1000) < 180);
  CHECK(std::abs(drawn[11] - 1000) < 180);
  CHECK(std::abs(drawn[5] - 3000) < 6 * 46);  // three starts' sequences hold it: sqrt(10^4 .3 .7)
}

TEST_CASE("batches: a part of one block and its next token has one start") {
  const Dataset data = counting_dataset(5, 5);
  CHECK(sample(data, Part::val, 9, {0, 1}, 4, 3).x.ids == std::vector<int32_t>{0, 1, 2, 3});
}
