// The mesh: where each rank is, which ranks its two groups join, and what the ledger says of them.

#include <atomic>
#include <catch2/catch.hpp>
#include <string>

#include "ranks.h"
#include "sim/algorithms/table.h"
#include "sim/comm_breakage.h"

namespace tplab {
namespace {

using Catch::Contains;

const std::vector<Mesh> kMeshes = {{1, 2}, {2, 1}, {2, 2}, {4, 2}, {3, 5}};
const std::vector<Algorithm> kMeshAlgorithms = {Algorithm::direct, Algorithm::ring, Algorithm::tree,
                                                Algorithm::gather};

// What global rank g contributes at index i, and sums of it over a group.
double tp_sum(Mesh mesh, int dp_index, int64_t i) {
  double sum = 0;
  for (int t = 0; t < mesh.tp; ++t) sum += term(dp_index * mesh.tp + t, i);
  return sum;
}
double dp_sum(Mesh mesh, int tp_index, int64_t i) {
  double sum = 0;
  for (int d = 0; d < mesh.dp; ++d) sum += term(d * mesh.tp + tp_index, i);
  return sum;
}

Array numbers_of_rank(Rank& rank, int64_t count, DType dtype = DType::f64) {
  return make_array(rank, dtype, count, [&](int64_t i) { return term(rank.global_index(), i); });
}

}  // namespace

TEST_CASE("each rank of a mesh runs once and knows its place, and the tp index is the fastest") {
  for (const Mesh mesh : kMeshes) {
    const int count = mesh.tp * mesh.dp;
    std::vector<int> ran(static_cast<size_t>(count));
    std::atomic<int> wrong = 0;
    const auto records = World({.tp = mesh.tp, .dp = mesh.dp}).run([&](Rank& rank) {
      const int g = rank.global_index();
      ++ran[static_cast<size_t>(g)];
      wrong += g != rank.dp_index() * mesh.tp + rank.index() || rank.mesh().ranks() != count;
      wrong += rank.size() != mesh.tp || rank.dp_size() != mesh.dp;
      wrong += rank.index() < 0 || rank.index() >= mesh.tp;
      wrong += rank.comm().size() != mesh.tp || rank.comm().rank() != rank.index();
      wrong += rank.dp_comm().size() != mesh.dp || rank.dp_comm().rank() != rank.dp_index();
      wrong += rank.comm().axis() != Axis::tp || rank.dp_comm().axis() != Axis::dp;
      rank.ledger().record({.elements = g});
    });
    INFO("tp " << mesh.tp << ", dp " << mesh.dp);
    CHECK(ran == std::vector<int>(static_cast<size_t>(count), 1));
    CHECK(wrong == 0);
    REQUIRE(records.size() == static_cast<size_t>(count));
    for (size_t g = 0; g < records.size(); ++g)
      CHECK(records[g].ledger.events().at(0).elements == static_cast<int64_t>(g));
  }
}

TEST_CASE("the two groups of a rank sum over their own ranks, by every algorithm") {
  for (const Algorithm algorithm : kMeshAlgorithms) {
    for (const Mesh mesh : kMeshes) {
      std::atomic<int> wrong = 0;
      World({.tp = mesh.tp, .dp = mesh.dp, .algorithm = algorithm}).run([&](Rank& rank) {
        for (const int64_t count : {1, 7, 4099}) {
          Array x = numbers_of_rank(rank, count), y = numbers_of_rank(rank, count);
          rank.comm().all_reduce(x);
          rank.dp_comm().all_reduce(y);
          for (int64_t i = 0; i < count; ++i) {
            wrong += !(x.as<double>()[i] == tp_sum(mesh, rank.dp_index(), i));
            wrong += !(y.as<double>()[i] == dp_sum(mesh, rank.index(), i));
          }
        }
      });
      INFO(name(algorithm) << ", tp " << mesh.tp << ", dp " << mesh.dp);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("the ranks of a dp group are in the order of their dp index") {
  for (const Mesh mesh : kMeshes) {
    std::atomic<int> wrong = 0;
    World({.tp = mesh.tp, .dp = mesh.dp}).run([&](Rank& rank) {
      const Array shard = numbers_of_rank(rank, 3);
      Array whole = rank.device().allocate(DType::f64, {mesh.dp * 3});
      rank.dp_comm().all_gather(shard, whole);
      for (int d = 0; d < mesh.dp; ++d) {
        for (int i = 0; i < 3; ++i)
          wrong += !(whole.as<double>()[d * 3 + i] == term(d * mesh.tp + rank.index(), i));
      }
    });
    CHECK(wrong == 0);
  }
}

namespace {

// A training step's pattern, on numbers whose sums round: over tp, over dp, and over tp again.
std::vector<std::vector<double>> step(Mesh mesh, Algorithm algorithm, CommBreakage breakage = {}) {
  World world(
      {.tp = mesh.tp, .dp = mesh.dp, .algorithm = algorithm, .comm_breakage = std::move(breakage)});
  return world
      .run([&](Rank& rank) {
        Array x = make_array(rank, DType::f32, 5003,
                             [&](int64_t i) { return rough_term(rank.global_index(), i); });
        rank.comm().all_reduce(x);
        rank.dp_comm().all_reduce(x);
        rank.comm().all_reduce(x, Reduce::max);
        return values(x);
      })
      .results;
}

int different_from_first(const std::vector<std::vector<double>>& bits) {
  int different = 0;
  for (const auto& one : bits) different += one != bits[0];
  return different;
}

int64_t drop_over_dp(Transport& honest, Rank&, const Post& call, const Array& in, Array& out) {
  return call.axis == Axis::dp ? 0 : honest.move(call, in, out);
}

}  // namespace

TEST_CASE("sums over tp and then dp leave identical bits on every rank, in every run") {
  for (const Algorithm algorithm : kMeshAlgorithms) {
    for (const Mesh mesh : kMeshes) {
      const auto first = step(mesh, algorithm);
      CHECK(different_from_first(first) == 0);
      CHECK(first == step(mesh, algorithm));
    }
  }
}

TEST_CASE("mutant: all_reduces dropped on one axis only leave the replicas different") {
  const auto bits = step({2, 2}, Algorithm::direct, {.move = drop_over_dp});
  CHECK(bits[0] == bits[1]);
  CHECK(bits[2] == bits[3]);
  CHECK(bits[0] != bits[2]);
}

TEST_CASE("an event says over which axis and in which phase, and sends what is predicted") {
  for (const Algorithm algorithm : kMeshAlgorithms) {
    for (const Mesh mesh : kMeshes) {
      const WorldOptions options{.tp = mesh.tp, .dp = mesh.dp, .algorithm = algorithm};
      const auto records = World(options).run([&](Rank& rank) {
        Array x = numbers_of_rank(rank, 101);
        rank.comm().all_reduce(x);
        const auto backward = rank.during(Phase::backward);
        rank.comm().all_reduce(x);
        {
          const auto optimizer = rank.during(Phase::optimizer);
          rank.dp_comm().all_reduce(x);
        }
        rank.dp_comm().all_reduce(x);
      });
      for (int g = 0; g < mesh.tp * mesh.dp; ++g) {
        std::vector<std::string> said;
        for (const Event& event : records[static_cast<size_t>(g)].ledger.events()) {
          said.push_back(std::string(name(event.axis)) + " " + std::string(name(event.phase)));
          const bool tp = event.axis == Axis::tp;
          const int group = tp ? mesh.tp : mesh.dp, in_group = tp ? g % mesh.tp : g / mesh.tp;
          CHECK(event.group_size == group);
          CHECK(event.wire_bytes ==
                predicted_wire_bytes(Op::all_reduce, algorithm, in_group, group, 101, DType::f64));
        }
        std::vector<std::string> expected;
        if (mesh.tp > 1) expected = {"tp forward", "tp backward"};
        if (mesh.dp > 1) expected.insert(expected.end(), {"dp optimizer", "dp backward"});
        CHECK(said == expected);
      }
    }
  }
}

TEST_CASE("a rank's phase is forward until something is done during another") {
  std::vector<Phase> phases;
  World({}).run([&](Rank& rank) {
    phases.push_back(rank.phase());
    {
      const auto outer = rank.during(Phase::backward);
      phases.push_back(rank.phase());
      try {
        const auto inner = rank.during(Phase::optimizer);
        phases.push_back(rank.phase());
        throw 1;
      } catch (int) {
        phases.push_back(rank.phase());
      }
    }
    phases.push_back(rank.phase());
  });
  CHECK(phases == std::vector<Phase>{Phase::forward, Phase::backward, Phase::optimizer,
                                     Phase::backward, Phase::forward});
}

TEST_CASE("a part of a dp group is a dp group, and ranks are those of the mesh") {
  std::atomic<int> wrong = 0;
  const auto records = World({.tp = 2, .dp = 4}).run([&](Rank& rank) {
    const auto pair = rank.dp_comm().split(rank.dp_index() / 2, 0);
    wrong += pair->axis() != Axis::dp || pair->size() != 2;
    Array x = numbers_of_rank(rank, 5);
    pair->all_reduce(x);
    const int other = rank.global_index() ^ 2;  // the same tp index, the pair's other dp index
    for (int64_t i = 0; i < 5; ++i)
      wrong += !(x.as<double>()[i] == term(rank.global_index(), i) + term(other, i));
  });
  CHECK(wrong == 0);
  for (const RankRecord& record : records) {
    for (const Event& event : record.ledger.events()) CHECK(event.axis == Axis::dp);
  }
}

TEST_CASE("what a rank shows says which replica and which tp rank it is") {
  struct Seen : Recorder {
    void shown(const Shown& s, Device&) override {
      global.push_back(s.dp * 2 + s.rank);
      first = s.array.as<double>()[0];
    }
    std::vector<int> global;
    double first = 0;
  };
  std::vector<Seen> seen(6);
  WorldOptions options{.tp = 2, .dp = 3};
  for (Seen& one : seen) options.recorders.push_back(&one);
  options.recorders[4] = nullptr;  // nobody looks at this one
  World(options).run([](Rank& rank) { rank.show("x", "varying", numbers_of_rank(rank, 1), 1); });
  for (int global = 0; global < 6; ++global) {
    const Seen& one = seen[static_cast<size_t>(global)];
    CHECK(one.global == (global == 4 ? std::vector<int>{} : std::vector{global}));
    if (global != 4) CHECK(one.first == term(global, 0));
  }
}

TEST_CASE("the cores are shared by all ranks of a mesh, and 64 ranks are the most") {
  CHECK(World({.tp = 2, .dp = 2}).threads_per_rank() == std::max(1, available_cores() / 4));
  CHECK(World({.tp = 2, .dp = 2, .threads_per_rank = 3}).threads_per_rank() == 3);
  CHECK_NOTHROW(World({.tp = 8, .dp = 8}));
  const auto refusal = [](int tp, int dp) {
    const Failure failure = failure_of({.tp = tp, .dp = dp}, [](Rank&) {});
    CHECK(failure.kind == ErrorKind::usage);
    return failure.text;
  };
  CHECK_THAT(refusal(9, 8), Contains("dp 8 is out of range at tp 9") && Contains("use 1 to 7"));
  CHECK_THAT(refusal(1, 65), Contains("dp 65"));
  CHECK_THAT(refusal(2, 0), Contains("dp 0"));
  CHECK_THAT(refusal(2, -1), Contains("dp -1"));
  CHECK_THAT(refusal(2, 1 << 30), Contains("at most 64 ranks"));
}

TEST_CASE("64 ranks on an 8 by 8 mesh reduce along both axes") {
  std::atomic<int> wrong = 0;
  World({.tp = 8, .dp = 8}).run([&](Rank& rank) {
    for (int k = 0; k < 5; ++k) {
      Array x = numbers_of_rank(rank, 50);
      rank.comm().all_reduce(x);
      rank.dp_comm().all_reduce(x);
      double expected = 0;
      for (int g = 0; g < 64; ++g) expected += term(g, 49);
      wrong += !(x.as<double>()[49] == expected);
    }
  });
  CHECK(wrong == 0);
}

}  // namespace tplab
