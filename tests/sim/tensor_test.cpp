// Typed operations and collectives on virtual ranks: each moves a tensor to the placement it names.
#include "sim/tensor.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <mutex>
#include <type_traits>

#include "sim/collectives.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/ops.h"

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

// [B, T, C] of which this rank may hold only some positions, every number its own.
template <class P>
Tensor<P> sequences(Rank& rank, int64_t first_position, int64_t positions, double scale = 1) {
  constexpr int64_t B = 2, C = 3;
  Array x = rank.device().allocate(DType::f64, Shape{B, positions, C});
  double* to = x.as<double>();
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < positions; ++t)
      for (int64_t c = 0; c < C; ++c)
        *to++ = scale * static_cast<double>(100 * b + 10 * (first_position + t) + c + 1);
  return assume_placement<P>(rank, x);
}

bool same_numbers(const Array& a, const Array& b) {
  return a.shape() == b.shape() &&
         std::equal(a.as<double>(), a.as<double>() + a.count(), b.as<double>());
}

TEST_CASE("along T: split, gather, scatter_sum and their backwards, in the order of positions") {
  for (int tp : {1, 2, 4}) {
    Failures failures;
    World({.tp = tp}).run([&](Rank& rank) {
      const int64_t T = 8, mine = T / tp, first = rank.index() * mine;
      const auto whole = sequences<Invariant>(rank, 0, T);
      const auto part = sequences<VaryingT>(rank, first, mine);
      const auto expect = [&](const auto& got, const auto& want, const char* what) {
        failures.expect(same_numbers(got.array(), want.array()), what);
      };
      expect(split(whole), part, "split");
      expect(gather(part), whole, "gather");
      expect(split_backward(part), whole, "split_backward");
      expect(scatter_sum_backward(part), whole, "scatter_sum_backward");
      // Rank r's term is (r + 1) times the numbers, so the sum is this many times them.
      const double sum = tp * (tp + 1) / 2.0, term = rank.index() + 1;
      const auto summed = sequences<VaryingT>(rank, first, mine, sum);
      expect(scatter_sum(sequences<Partial>(rank, 0, T, term)), summed, "scatter_sum");
      expect(gather_backward(sequences<Partial>(rank, 0, T, term)), summed, "gather_backward");
      expect(enter_backward(sequences<Partial>(rank, 0, T, term)),
             sequences<Invariant>(rank, 0, T, sum), "enter_backward");
    });
    CHECK(failures.text() == "");
  }
}

TEST_CASE("a sequence that does not divide by the ranks is refused, naming the site") {
  CHECK_THROWS_WITH(World({.tp = 3}).run([&](Rank& rank) {
    auto scope = rank.at("embed");
    (void)split(sequences<Invariant>(rank, 0, 8));
  }),
                    Catch::Contains("embed: the positions of [2, 8, 3] do not divide by 3 ranks"));
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
    const Tensor<Invariant> y = activation(ActivationKind::gelu, x);  // x and kept still read it
    if (y.array().data() == memory) throw std::logic_error("overwrote a shared tensor");
    Tensor<Invariant> own = matrix<Invariant>(rank, 2, 0, 3);
    const void* own_memory = own.array().data();
    const Tensor<Invariant> z = add(std::move(own), x);
    if (z.array().data() != own_memory) throw std::logic_error("allocated without need");
  });
}

TEST_CASE("show: tells the recorder of the tensor and its site, and returns it") {
  struct Seen : Recorder {
    void shown(const Shown& s, Device&) override {
      all.push_back(s.site + " " + std::string(s.placement) + " " + s.array.shape().text());
    }
    std::vector<std::string> all;
  } seen;
  World({.tp = 1, .recorders = {&seen}}).run([](Rank& rank) {
    auto scope = rank.at("block 0");
    const Tensor<Varying> x = show("fc", matrix<Varying>(rank, 2, 0, 3));
    if (x.shape() != Shape{2, 3}) throw std::logic_error("changed");
  });
  CHECK(seen.all == std::vector<std::string>{"block 0/fc varying [2, 3]"});
}
