// World: as many ranks as asked for, and what happens when one of them throws.

#include "sim/machine/world.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <set>
#include <string>
#include <thread>

#include "ranks.h"
#include "sim/cuda/gpus.h"
#include "sim/threads/board.h"

namespace tplab {

using Catch::Contains;

TEST_CASE("World runs the body once per rank, from 1 rank to 64") {
  for (const int n : {1, 2, 5, 64}) {
    std::vector<int> ran(static_cast<size_t>(n));
    const auto records = World({.tp = n}).run([&](Rank& rank) {
      if (rank.size() == n) ++ran[static_cast<size_t>(rank.index())];
    });
    CHECK(ran == std::vector<int>(static_cast<size_t>(n), 1));
    CHECK(records.size() == static_cast<size_t>(n));
  }
}

TEST_CASE("64 ranks reduce together on however few cores there are") {
  std::atomic<int> wrong = 0;
  World({.tp = 64}).run([&](Rank& rank) {
    for (int k = 0; k < 20; ++k) {
      Array x = make_array(rank, DType::f64, 100, [&](int64_t i) { return term(rank.index(), i); });
      rank.comm().all_reduce(x);
      double expected = 0;
      for (int r = 0; r < 64; ++r) expected += term(r, 99);
      wrong += x.as<double>()[99] != expected;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("World returns what the bodies returned, by global index, beside the ranks' records") {
  const auto [results, records] = World({.tp = 3, .dp = 2}).run([](Rank& rank) {
    rank.comm().barrier();
    return std::to_string(rank.dp_index()) + std::to_string(rank.index());
  });
  CHECK(results == std::vector<std::string>{"00", "01", "02", "10", "11", "12"});
  REQUIRE(records.size() == 6);
  for (const RankRecord& record : records) CHECK(record.ledger.events().size() == 1);
}

TEST_CASE("World: where a rank throws, try_run has the error and what each rank had by then") {
  World world({.tp = 3});
  std::exception_ptr failed;
  const auto body = [](int thrower) {
    return [=](Rank& rank, std::vector<int>& result) {
      result.push_back(rank.index());
      rank.comm().barrier();
      result.push_back(10 * rank.index());
      if (rank.index() == thrower) fail("this one gives up", "do not let it");
      rank.comm().barrier();
      result.push_back(100);
    };
  };
  const auto stopped = world.try_run<std::vector<int>>(body(1), failed);
  REQUIRE(failed);
  CHECK_THROWS_WITH(std::rethrow_exception(failed), Contains("rank 1: this one gives up"));
  CHECK(stopped.records.empty());
  CHECK(stopped.results == std::vector<std::vector<int>>{{0, 0}, {1, 10}, {2, 20}});

  failed = nullptr;
  const auto whole = world.try_run<std::vector<int>>(body(-1), failed);
  CHECK_FALSE(failed);
  CHECK(whole.records.size() == 3);
  CHECK(whole.results.back() == std::vector<int>{2, 20, 100});
}

TEST_CASE("World: a rank has the threads it was promised, and sums with them") {
  std::atomic<int> wrong = 0;
  World({.tp = 2, .threads_per_rank = 3}).run([&](Rank& rank) {
    Array x =
        make_array(rank, DType::f64, 300'000, [&](int64_t i) { return term(rank.index(), i); });
    rank.comm().all_reduce(x);
    for (int64_t i = 0; i < x.count(); ++i) wrong += x.as<double>()[i] != term(0, i) + term(1, i);
  });
  CHECK(wrong == 0);
  CHECK(World({.tp = 2, .threads_per_rank = 3}).threads_per_rank() == 3);
  CHECK(World({.tp = 64}).threads_per_rank() >= 1);
}

TEST_CASE("World leaves each rank's ledger and memory behind") {
  const auto records = World({.tp = 2}).run([](Rank& rank) {
    const auto site = rank.at("mlp");
    Array x = make_array(rank, DType::f64, 1000, [](int64_t i) { return term(0, i); });
    rank.comm().all_reduce(x);
  });
  for (const RankRecord& record : records) {
    REQUIRE(record.ledger.events().size() == 1);
    CHECK(record.ledger.events()[0].site->path() == "mlp");
    CHECK(record.memory.peak_bytes >= 8000);
  }
}

TEST_CASE("World refuses options out of range, and what is not in this build") {
  const auto kind_of = [](WorldOptions options) {
    return failure_of(std::move(options), [](Rank&) {}).kind;
  };
  CHECK(kind_of({.tp = 0}) == ErrorKind::usage);
  CHECK(kind_of({.tp = 65}) == ErrorKind::usage);
  CHECK(kind_of({.device = "abacus"}) == ErrorKind::usage);
  CHECK(kind_of({.comm = "pigeons"}) == ErrorKind::usage);
  CHECK(kind_of({.threads_per_rank = -1}) == ErrorKind::usage);
  CHECK(kind_of({.timeout_s = 0}) == ErrorKind::usage);
  CHECK(kind_of({.algorithm = Algorithm::library}) == ErrorKind::usage);
}

TEST_CASE("World: GPUs that this build or machine lacks are unavailable, with the way out") {
  const GpuReport gpus = gpu_report();
  if (gpus.problem.empty()) return;  // there is one
  CHECK(!gpus.fix.empty());
  for (const char* comm : {"threads", "nccl"}) {
    const Failure failure = failure_of({.device = "cuda", .comm = comm}, [](Rank&) {});
    CHECK(failure.kind == ErrorKind::unavailable);
    CHECK_THAT(failure.text, Contains(gpus.problem) || Contains("is not in this build"));
    CHECK_THAT(failure.text,
               Contains("--device cpu") || Contains("use cpu") || Contains("use threads"));
  }
  const Failure on_the_cpu = failure_of({.comm = "nccl"}, [](Rank&) {});
  CHECK_THAT(on_the_cpu.text, Contains("not in this build") || Contains("between GPUs"));
}

TEST_CASE("a rank's Error keeps its kind and fix and gets the rank's name, at 2, 8 and 64 ranks") {
  for (const int n : {2, 8, 64}) {
    const Failure failure = failure_of({.tp = n}, [n](Rank& rank) {
      if (rank.index() == n - 1) throw Error(ErrorKind::bad_file, "no such tensor", "look again");
      rank.comm().barrier();
    });
    CHECK(failure.kind == ErrorKind::bad_file);
    CHECK(failure.text == "rank " + std::to_string(n - 1) + ": no such tensor\n  fix: look again");
    CHECK(failure.seconds < 10);
  }
}

TEST_CASE("any other exception becomes an Error with the rank's name") {
  const auto thrown = [](auto what) {
    return failure_of({.tp = 3}, [what](Rank& rank) {
      if (rank.index() == 1) throw what;
      rank.comm().barrier();
    });
  };
  CHECK(thrown(std::runtime_error("out of tea")).text == "rank 1: out of tea");
  CHECK(thrown(std::runtime_error("out of tea")).kind == ErrorKind::run);
  CHECK_THAT(thrown(42).text, Contains("rank 1: threw something"));
}

TEST_CASE("the release of a peer never masks the original error") {
  for (int run = 0; run < 20; ++run) {
    std::atomic<int> released = 0;
    const Failure failure = failure_of({.tp = 8}, [&](Rank& rank) {
      if (rank.index() == run % 8) throw Error(ErrorKind::run, "the cause", "");
      try {
        rank.comm().barrier();
      } catch (const PeerFailed&) {
        ++released;
        throw std::runtime_error("a consequence");
      }
    });
    CHECK(failure.text == "rank " + std::to_string(run % 8) + ": the cause");
    CHECK(released == 7);
  }
}

TEST_CASE("ranks that throw in the middle of traffic release those that wait in every algorithm") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    for (int run = 0; run < 10; ++run) {
      const Failure failure = failure_of({.tp = 6, .algorithm = algorithm}, [&](Rank& rank) {
        // Two groups: the failure of one reaches the other while its data moves.
        const auto group = rank.comm().split(rank.index() % 2, 0);
        for (int k = 0;; ++k) {
          Array x = make_array(rank, DType::f32, 5000, [&](int64_t i) { return term(k, i); });
          if (rank.index() == 2 && k == run) throw std::runtime_error("enough");
          group->all_reduce(x);
        }
      });
      CHECK(failure.text == "rank 2: enough");
    }
  }
}

TEST_CASE("a World can be used again, also after a failure") {
  World world({.tp = 4});
  CHECK_THROWS_AS(world.run([](Rank&) { throw std::runtime_error("once"); }), Error);
  std::atomic<int> ran = 0;
  world.run([&](Rank& rank) {
    rank.comm().barrier();
    ++ran;
  });
  CHECK(ran == 4);
}

TEST_CASE("there is at least one core, and no more than the machine has") {
  CHECK(available_cores() >= 1);
  CHECK(available_cores() <= static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace tplab
