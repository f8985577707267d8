// The public layer of communication: arguments, events, groups, point to point.

#include "sim/comm.h"

#include <atomic>
#include <catch2/catch.hpp>

#include "ranks.h"

namespace tplab {

using Catch::Contains;

TEST_CASE("a group of one communicates nothing, records nothing, and its results are right") {
  const auto records = World({.tp = 1}).run([](Rank& rank) {
    const auto value = [](int64_t i) { return term(0, i); };
    const Array x = make_array(rank, DType::f64, 5, value);
    Array y = make_array(rank, DType::f64, 5, value);
    rank.comm().all_reduce(y);
    CHECK(values(y) == values(x));
    y = rank.device().allocate(DType::f64, {5});
    rank.comm().all_gather(x, y);
    CHECK(values(y) == values(x));
    rank.device().zero(y);
    rank.comm().reduce_scatter(x, y);
    CHECK(values(y) == values(x));
    rank.device().zero(y);
    rank.comm().all_to_all(x, y);
    CHECK(values(y) == values(x));
    rank.comm().broadcast(y, 0);
    rank.comm().barrier();
    CHECK(rank.comm().split(0, 0)->size() == 1);
    CHECK(rank.comm().split(-1, 0) == nullptr);
  });
  CHECK(records[0].ledger.events().empty());
}

TEST_CASE("an event says where, what, how much and by what") {
  const auto records = World({.tp = 2, .algorithm = Algorithm::ring}).run([](Rank& rank) {
    const auto block = rank.at("block 3");
    const auto attn = rank.at("attn");
    Array x = make_array(rank, DType::f32, 6, [&](int64_t i) { return term(rank.index(), i); });
    rank.comm().all_reduce(x);
    rank.comm().barrier();
    if (rank.index() == 0) rank.comm().send(x, 1);
    if (rank.index() == 1) rank.comm().recv(x, 0);
  });
  const std::vector<Event>& sender = records[0].ledger.events();
  const std::vector<Event>& receiver = records[1].ledger.events();
  REQUIRE(sender.size() == 3);
  CHECK(sender[0].site->path() == "block 3/attn");
  CHECK(sender[0].op == Op::all_reduce);
  CHECK(sender[0].algorithm == Algorithm::ring);
  CHECK(sender[0].dtype == DType::f32);
  CHECK(sender[0].group_size == 2);
  CHECK(sender[0].elements == 6);
  CHECK(sender[0].payload_bytes == 24);
  CHECK(sender[0].wire_bytes == 24);
  CHECK(sender[1].op == Op::barrier);
  CHECK(sender[1].wire_bytes == 0);
  CHECK(sender[2].op == Op::send);
  CHECK(sender[2].wire_bytes == 24);
  CHECK(receiver[2].op == Op::recv);
  CHECK(receiver[2].wire_bytes == 0);
}

TEST_CASE("wrong arguments are refused with what, where and how to fix it") {
  const auto refusal = [](const std::function<void(Rank&)>& body) {
    const Failure failure = failure_of({.tp = 4}, [&](Rank& rank) {
      const auto site = rank.at("head");
      body(rank);
    });
    CHECK(failure.kind == ErrorKind::usage);
    CHECK_THAT(failure.text, Contains("at head") && Contains("fix: ") && Contains("rank "));
    return failure.text;
  };
  CHECK_THAT(refusal([](Rank& rank) {
               Array whole = rank.device().allocate(DType::f32, {10});
               rank.comm().all_gather(rank.device().allocate(DType::f32, {3}), whole);
             }),
             Contains("the whole is 10 f32 [10], a part is 3 f32 [3], and there are 4 ranks"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array shard = rank.device().allocate(DType::f64, {3});
               rank.comm().reduce_scatter(rank.device().allocate(DType::f32, {12}), shard);
             }),
             Contains("a part is 3 f64"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array out = rank.device().allocate(DType::f32, {6});
               rank.comm().all_to_all(rank.device().allocate(DType::f32, {6}), out);
             }),
             Contains("6 f32 [6] does not divide by 4 ranks"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array x = rank.device().allocate(DType::f32, {8});
               rank.comm().all_to_all(x, x);
             }),
             Contains("share memory"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array x(DType::f32, {8}, nullptr);
               rank.comm().all_reduce(x);
             }),
             Contains("has no memory"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array x = rank.device().allocate(DType::f32, {8});
               rank.comm().broadcast(x, 4);
             }),
             Contains("root 4"));
  CHECK_THAT(refusal([](Rank& rank) {
               Array x = rank.device().allocate(DType::f32, {8});
               rank.comm().send(x, rank.comm().rank());
             }),
             Contains("as its peer"));
}

TEST_CASE("send and recv pass a token round all ranks, whatever their number") {
  for (const int n : {2, 3, 8, 64}) {
    std::atomic<bool> right = false;
    World({.tp = n}).run([&](Rank& rank) {
      const int r = rank.index();
      Array token = make_array(rank, DType::f64, 3, [](int64_t i) { return term(0, i); });
      if (r > 0) rank.comm().recv(token, r - 1);
      for (int i = 0; i < 3; ++i) token.as<double>()[i] += term(r, 100);
      rank.comm().send(token, (r + 1) % n);
      if (r > 0) return;
      rank.comm().recv(token, n - 1);
      double expected = term(0, 2);
      for (int q = 0; q < n; ++q) expected += term(q, 100);
      right = token.as<double>()[2] == expected;
    });
    CHECK(right);
  }
}

TEST_CASE("messages between two ranks arrive in the order in which they were sent") {
  std::atomic<int> wrong = 0;
  World({.tp = 2}).run([&](Rank& rank) {
    for (int k = 0; k < 100; ++k) {
      Array x = make_array(rank, DType::f32, k, [&](int64_t i) { return term(k, i); });
      if (rank.index() == 0) {
        rank.comm().send(x, 1);
      } else {
        rank.device().zero(x);
        rank.comm().recv(x, 0);
        for (int64_t i = 0; i < k; ++i) wrong += x.as<float>()[i] != static_cast<float>(term(k, i));
      }
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("split: ranks of a color form a group, ordered by key and then by rank") {
  std::atomic<int> wrong = 0;
  World({.tp = 6}).run([&](Rank& rank) {
    // Colors 0 1 0 1 0 1; the highest rank comes first.
    const int r = rank.index();
    const auto group = rank.comm().split(r % 2, -r);
    wrong += group->size() != 3;
    wrong += group->rank() != 2 - r / 2;
    Array x = make_array(rank, DType::f64, 4, [&](int64_t i) { return term(r, i); });
    group->all_reduce(x);
    const int first = r % 2;
    wrong += x.as<double>()[3] != term(first, 3) + term(first + 2, 3) + term(first + 4, 3);

    Array whole = rank.device().allocate(DType::f64, {3});
    group->all_gather(make_array(rank, DType::f64, 1, [&](int64_t) { return r; }), whole);
    wrong += values(whole) != std::vector<double>{first + 4.0, first + 2.0, first + 0.0};
  });
  CHECK(wrong == 0);
}

TEST_CASE("split: equal keys keep the order of ranks, a negative color joins no group") {
  std::atomic<int> wrong = 0;
  World({.tp = 5}).run([&](Rank& rank) {
    const int r = rank.index();
    const auto group = rank.comm().split(r == 2 ? -1 : 7, 0);
    if (r == 2) {
      wrong += group != nullptr;
      return;
    }
    wrong += group->size() != 4;
    wrong += group->rank() != (r < 2 ? r : r - 1);
    const auto pair = group->split(group->rank() / 2, 0);  // and a group can be split again
    wrong += pair->size() != 2;
    pair->barrier();
  });
  CHECK(wrong == 0);
}

}  // namespace tplab
