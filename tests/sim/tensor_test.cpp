// Typed operations and collectives on virtual ranks: each moves a tensor to the placement it names.
#include "sim/tensor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <mutex>
#include <type_traits>

#include "sim/collectives.h"
#include "sim/error.h"
#include "sim/ops.h"
#include "sim/world.h"

using namespace tplab;

namespace {

// value(row, column) of a logical matrix, different everywhere.
double value(int64_t i, int64_t j) { return std::sin(static_cast<double>(17 * i + 3 * j + 1)); }

// This rank's columns first .. first + n - 1 of the logical matrix.
template <class P>
Tensor<P> matrix(Rank& rank, int64_t rows, int64_t first, int64_t n, double scale = 1) {
  Array a = rank.device().allocate(DType::f64, {rows, n});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < n; ++j) a.as<double>()[i * n + j] = scale * value(i, first + j);
  return assume_placement<P>(rank, a);
}

double at(const Array& a, int64_t i, int64_t j) { return a.as<double>()[i * a.shape()[-1] + j]; }

// Catch2's assertions are not for many threads: ranks collect what is wrong.
class Failures {
 public:
  void expect(bool ok, const std::string& what) {
    if (ok) return;
    const std::lock_guard lock(mutex_);
    text_ += what + "; ";
  }
  std::string text() const { return text_; }

 private:
  std::mutex mutex_;
  std::string text_;
};

}  // namespace

TEST_CASE("placements: gradients live where the dual says, and the dual of a dual is itself") {
  STATIC_REQUIRE(std::is_same_v<Dual<Invariant>, Invariant>);
  STATIC_REQUIRE(std::is_same_v<Dual<Replicated>, Partial>);
  STATIC_REQUIRE(std::is_same_v<Dual<Varying>, Varying>);
  STATIC_REQUIRE(std::is_same_v<Dual<Partial>, Replicated>);
  STATIC_REQUIRE(std::is_same_v<Grad<Replicated>, Tensor<Partial>>);
}

TEST_CASE("leave: every rank ends with the sum, and a partial that others hold is left alone") {
  for (int tp : {1, 2, 4}) {
    Failures failures;
    World({.tp = tp}).run([&](Rank& rank) {
      const double scale = rank.index() + 1, sum = tp * (tp + 1) / 2.0;
      const Tensor<Partial> mine = matrix<Partial>(rank, 3, 0, 5, scale);
      const Tensor<Invariant> all = leave(mine);  // a copy: `mine` is still held
      for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 5; ++j) {
          failures.expect(std::abs(at(all.array(), i, j) - sum * value(i, j)) < 1e-14, "sum");
          failures.expect(at(mine.array(), i, j) == scale * value(i, j), "overwritten");
        }
    });
    CHECK(failures.text() == "");
  }
}

TEST_CASE("gather: shards come back side by side in rank order, and padding is dropped") {
  Failures failures;
  World({.tp = 4}).run([&](Rank& rank) {
    const Tensor<Varying> shard = matrix<Varying>(rank, 3, 2 * rank.index(), 2);
    const Tensor<Replicated> whole = gather(shard, 7);
    failures.expect(whole.shape() == Shape{3, 7}, "shape " + whole.shape().text());
    for (int64_t i = 0; i < 3; ++i)
      for (int64_t j = 0; j < 7; ++j)
        failures.expect(at(whole.array(), i, j) == value(i, j), "order");
  });
  CHECK(failures.text() == "");
}

TEST_CASE("split then gather is the identity, scatter_sum is leave then split") {
  for (int tp : {1, 2, 4}) {
    Failures failures;
    World({.tp = tp}).run([&](Rank& rank) {
      const Tensor<Invariant> x = matrix<Invariant>(rank, 3, 0, 8);
      const Tensor<Replicated> back = gather(split(x));
      const Tensor<Varying> scattered =
          scatter_sum(matrix<Partial>(rank, 3, 0, 8, rank.index() + 1));
      const Tensor<Varying> sliced = split(leave(matrix<Partial>(rank, 3, 0, 8, rank.index() + 1)));
      failures.expect(scattered.shape() == Shape{3, 8 / tp}, "shape");
      for (int64_t i = 0; i < 3; ++i) {
        for (int64_t j = 0; j < 8; ++j)
          failures.expect(at(back.array(), i, j) == value(i, j), "identity");
        for (int64_t j = 0; j < 8 / tp; ++j)
          failures.expect(at(scattered.array(), i, j) == at(sliced.array(), i, j), "scatter_sum");
      }
    });
    CHECK(failures.text() == "");
  }
}

TEST_CASE("column then row parallel equals the product on one rank") {
  Failures failures;
  constexpr int64_t T = 3, C = 4, F = 8;
  World({.tp = 4}).run([&](Rank& rank) {
    const int64_t n = F / rank.size();
    const Tensor<Invariant> x = matrix<Invariant>(rank, T, 0, C);
    // up: [F, C], this rank's rows; down: [C, F], this rank's columns.
    Array up = rank.device().allocate(DType::f64, {n, C});
    for (int64_t f = 0; f < n; ++f)
      for (int64_t c = 0; c < C; ++c)
        up.as<double>()[f * C + c] = value(rank.index() * n + f, c + 100);
    const Tensor<Varying> down = matrix<Varying>(rank, C, rank.index() * n, n);
    const Tensor<Varying> h = matmul(enter(x), assume_placement<Varying>(rank, up));
    const Tensor<Invariant> y = leave(matmul(h, down));
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t c = 0; c < C; ++c) {
        double expected = 0;
        for (int64_t f = 0; f < F; ++f) {
          double hidden = 0;
          for (int64_t k = 0; k < C; ++k) hidden += value(t, k) * value(f, k + 100);
          expected += hidden * value(c, f);
        }
        failures.expect(std::abs(at(y.array(), t, c) - expected) < 1e-13, "product");
      }
    }
  });
  CHECK(failures.text() == "");
}

TEST_CASE("operations: shapes that do not fit are errors that name the operation and the site") {
  try {
    World({.tp = 2}).run([](Rank& rank) {
      auto scope = rank.at("block 3");
      (void)matmul(matrix<Varying>(rank, 3, 0, 4), matrix<Varying>(rank, 5, 0, 6));
    });
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK_THAT(e.what(), Catch::Contains("matmul") && Catch::Contains("block 3") &&
                             Catch::Contains("[3, 4]") && Catch::Contains("[5, 6]"));
  }
}

TEST_CASE("operations: a result takes over memory that nobody else reads, and only that") {
  World({.tp = 1}).run([](Rank& rank) {
    Tensor<Invariant> x = matrix<Invariant>(rank, 2, 0, 3);
    const void* memory = x.array().data();
    const Tensor<Invariant> kept = x;
    const Tensor<Invariant> y = gelu(Gelu::erf, x);  // x and kept still read it
    if (y.array().data() == memory) throw std::logic_error("overwrote a shared tensor");
    Tensor<Invariant> own = matrix<Invariant>(rank, 2, 0, 3);
    const void* own_memory = own.array().data();
    const Tensor<Invariant> z = add(std::move(own), x);
    if (z.array().data() != own_memory) throw std::logic_error("allocated without need");
  });
}

TEST_CASE("watch: shows the tensor and its site to the observer, and returns it") {
  std::vector<std::string> seen;
  Observer observer = [&](const Sighting& s, Device&) {
    seen.push_back(s.site + " " + std::string(s.placement) + " " + s.array.shape().text());
  };
  World({.tp = 1, .observer = observer}).run([](Rank& rank) {
    auto scope = rank.at("block 0");
    const Tensor<Varying> x = watch("fc", matrix<Varying>(rank, 2, 0, 3));
    if (x.shape() != Shape{2, 3}) throw std::logic_error("changed");
  });
  CHECK(seen == std::vector<std::string>{"block 0/fc varying [2, 3]"});
}
