// Runs that cannot go on: each is an error that says what every rank was doing, within a second.

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "ranks.h"

namespace tplab {
namespace {

using Catch::Contains;

const std::vector<int> kWorldSizes = {2, 8, 64};

// Runs `body` in the site "block <rank % 3>/attn" of each rank, and checks that every rank's line
// is in the error.
std::string stuck(int n, const std::function<void(Rank&)>& body) {
  const Failure failure = failure_of({.tp = n}, [&](Rank& rank) {
    const auto block = rank.at("block " + std::to_string(rank.index() % 3));
    const auto attn = rank.at("attn");
    body(rank);
  });
  CHECK(failure.kind == ErrorKind::run);
  CHECK(failure.seconds < kSoon);
  for (int r = 0; r < n; ++r)
    CHECK_THAT(failure.text, Contains("rank " + std::to_string(r) + ": "));
  CHECK_THAT(failure.text, Contains("fix: "));
  return failure.text;
}

// The same, in one site for all ranks.
std::string stuck_together(int n, const std::function<void(Rank&)>& body) {
  const Failure failure = failure_of({.tp = n}, [&](Rank& rank) {
    const auto site = rank.at("head");
    body(rank);
  });
  CHECK(failure.kind == ErrorKind::run);
  CHECK(failure.seconds < kSoon);
  for (int r = 0; r < n; ++r)
    CHECK_THAT(failure.text, Contains("rank " + std::to_string(r) + ": "));
  return failure.text;
}

Array numbers(Rank& rank, int64_t count, DType dtype = DType::f32) {
  return make_array(rank, dtype, count, [&](int64_t i) { return term(rank.index(), i); });
}

bool last(const Rank& rank) { return rank.index() == rank.size() - 1; }

}  // namespace

TEST_CASE("different operations are an error that lists every rank's call") {
  for (const int n : kWorldSizes) {
    const std::string text = stuck_together(n, [](Rank& rank) {
      Array x = numbers(rank, 128);
      rank.comm().barrier();
      if (last(rank)) {
        rank.comm().broadcast(x, 0);
      } else {
        rank.comm().all_reduce(x);
      }
    });
    CHECK_THAT(text, Contains("differ in op, root"));
    CHECK_THAT(text, Contains("rank 0: called all_reduce #1 of 128 f32 at head"));
    CHECK_THAT(text, Contains("called broadcast #1 of 128 f32 from rank 0 at head"));
  }
}

TEST_CASE("different sizes, dtypes, sites, roots or reductions are an error that says which") {
  for (const int n : kWorldSizes) {
    CHECK_THAT(stuck_together(n,
                              [](Rank& rank) {
                                Array x = numbers(rank, last(rank) ? 12 : 8);
                                rank.comm().all_reduce(x);
                              }),
               Contains("differ in elements") && Contains("of 12 f32"));
    CHECK_THAT(stuck_together(n,
                              [](Rank& rank) {
                                Array x = numbers(rank, 8, last(rank) ? DType::f64 : DType::f32);
                                rank.comm().all_reduce(x);
                              }),
               Contains("differ in dtype") && Contains("of 8 f64"));
    const std::string text = stuck(n, [](Rank& rank) { rank.comm().barrier(); });
    CHECK_THAT(text, Contains("differ in site"));
    CHECK_THAT(text, Contains("rank 0: called barrier #0 at block 0/attn"));
    CHECK_THAT(text, Contains("rank 1: called barrier #0 at block 1/attn"));
    CHECK_THAT(stuck_together(n,
                              [](Rank& rank) {
                                Array x = numbers(rank, 8);
                                rank.comm().broadcast(x, last(rank) ? 1 : 0);
                              }),
               Contains("differ in root"));
    CHECK_THAT(stuck_together(n,
                              [](Rank& rank) {
                                Array x = numbers(rank, 8);
                                rank.comm().all_reduce(x, last(rank) ? Reduce::max : Reduce::sum);
                              }),
               Contains("differ in reduce"));
  }
}

TEST_CASE("all fields are named in which any two ranks differ") {
  const std::string text = stuck(3, [](Rank& rank) {
    Array x = numbers(rank, rank.index() == 1 ? 4 : 8, last(rank) ? DType::f64 : DType::f32);
    rank.comm().all_reduce(x);
  });
  CHECK_THAT(text, Contains("differ in elements, site, dtype"));
}

TEST_CASE("the same calls in different order are an error, not a pairing by arrival") {
  for (const int n : kWorldSizes) {
    const std::string text = stuck_together(n, [](Rank& rank) {
      Array x = numbers(rank, 64), y = numbers(rank, 32);
      rank.comm().all_reduce(last(rank) ? y : x);
      rank.comm().all_reduce(last(rank) ? x : y);
    });
    CHECK_THAT(text, Contains("differ in elements"));
  }
}

TEST_CASE("every rank gets the same error") {
  std::vector<std::string> texts(8);
  failure_of({.tp = 8}, [&](Rank& rank) {
    try {
      Array x = numbers(rank, 10 + rank.index());
      rank.comm().all_reduce(x);
    } catch (const Error& error) {
      texts[static_cast<size_t>(rank.index())] = error.what();
      throw;
    }
  });
  CHECK_THAT(texts[0], Contains("differ in elements"));
  for (const std::string& text : texts) CHECK(text == texts[0]);
}

TEST_CASE("a rank that returns early is an error at once for those who wait for it") {
  for (const int n : kWorldSizes) {
    const std::string text = stuck_together(n, [](Rank& rank) {
      rank.comm().barrier();
      if (last(rank)) return;
      Array x = numbers(rank, 16);
      rank.comm().all_reduce(x);
    });
    CHECK_THAT(text, Contains("waiting in all_reduce #1 of 16 f32 at head"));
    CHECK_THAT(text, Contains("rank " + std::to_string(n - 1) + ": returned after 1 collectives"));
  }
}

TEST_CASE("an early return is found while another rank computes, and the list says so") {
  const Failure failure = failure_of({.tp = 3}, [&](Rank& rank) {
    const auto site = rank.at("mlp");
    if (rank.index() == 0) rank.comm().barrier();
    if (rank.index() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(400));
  });
  CHECK_THAT(failure.text, Contains("rank 0: waiting in barrier #0 at mlp"));
  CHECK_THAT(failure.text, Contains("rank 1: returned after 0 collectives"));
  CHECK_THAT(failure.text, Contains("rank 2: computing at mlp"));
}

TEST_CASE("a recv without a send, and a send without a recv, are errors") {
  for (const int n : kWorldSizes) {
    CHECK_THAT(
        stuck(n,
              [](Rank& rank) {
                Array x = numbers(rank, 16);
                if (rank.index() == 0) return rank.comm().recv(x, 1);
                rank.comm().barrier();
              }),
        Contains("deadlock") && Contains("waiting in recv of 16 f32 from rank 1 at block 0"));
    CHECK_THAT(stuck(n,
                     [](Rank& rank) {
                       if (last(rank)) rank.comm().send(numbers(rank, 16), 0);
                     }),
               Contains("has returned") && Contains("waiting in send of 16 f32 to rank 0"));
    CHECK_THAT(stuck(n,
                     [](Rank& rank) {
                       Array x = numbers(rank, 16);
                       const int left = (rank.index() + rank.size() - 1) % rank.size();
                       rank.comm().recv(x, left);  // everyone receives first
                       rank.comm().send(x, (rank.index() + 1) % rank.size());
                     }),
               Contains("deadlock"));
  }
}

TEST_CASE("a message of another size or dtype than its receiver expects names both") {
  const auto exchange = [](int64_t count, DType dtype) {
    return stuck(2, [=](Rank& rank) {
      Array x = numbers(rank, 4);
      if (rank.index() == 0) return rank.comm().send(x, 1);
      Array y = numbers(rank, count, dtype);
      rank.comm().recv(y, 0);
    });
  };
  for (const std::string& text : {exchange(8, DType::f32), exchange(2, DType::f64)}) {
    CHECK_THAT(text, Contains("rank 0: called send of 4 f32 to rank 1 at block 0/attn"));
    CHECK_THAT(text, Contains("rank 1: called recv of "));
  }
}

TEST_CASE("two groups that wait for each other are a deadlock, found at once") {
  for (const int n : kWorldSizes) {
    // Ranks 0 and n-1 belong to both groups and enter them in opposite order.
    const std::string text = stuck_together(n, [](Rank& rank) {
      const bool ends = rank.index() == 0 || last(rank);
      const auto a = rank.comm().split(ends ? 0 : 1, 0);
      const auto b = rank.comm().split(ends ? 0 : 1, 0);
      if (ends) (rank.index() == 0 ? a : b)->barrier();
      rank.comm().barrier();
    });
    CHECK_THAT(text, Contains("deadlock"));
    CHECK_THAT(text, Contains("rank 0: waiting in barrier #0 at head"));
  }
}

TEST_CASE("a rank that does not come within the timeout is an error that says what it does") {
  const Failure failure = failure_of({.tp = 3, .timeout_s = 0.1}, [](Rank& rank) {
    const auto site = rank.at("mlp");
    if (rank.index() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    rank.comm().barrier();
  });
  CHECK_THAT(failure.text, Contains("has waited for 0.1 s"));
  CHECK_THAT(failure.text, Contains("rank 2: computing at mlp"));
}

TEST_CASE("a slow rank is not an error") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    std::atomic<int> done = 0;
    World({.tp = 8, .algorithm = algorithm}).run([&](Rank& rank) {
      Array x = numbers(rank, 100);
      for (int k = 0; k < 3; ++k) {
        if (rank.index() == k) std::this_thread::sleep_for(std::chrono::milliseconds(60));
        rank.comm().all_reduce(x);
      }
      ++done;
    });
    CHECK(done == 8);
  }
}

TEST_CASE("ranks that return at different times, after all their calls, are not an error") {
  for (int run = 0; run < 50; ++run) {
    World({.tp = 4}).run([](Rank& rank) {
      Array x = numbers(rank, 10);
      rank.comm().all_reduce(x);
      const auto pair = rank.comm().split(rank.index() / 2, 0);
      if (rank.index() >= 2) return;
      for (int k = 0; k < 5; ++k) pair->all_reduce(x);
    });
  }
}

}  // namespace tplab
