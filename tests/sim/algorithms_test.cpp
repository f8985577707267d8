// Every collective by every algorithm, against a serial sum; bytes counted against bytes predicted.

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <mutex>

#include "ranks.h"
#include "sim/algorithms/table.h"
#include "sim/comm_breakage.h"

namespace tplab {
namespace {

const std::vector<int> kSizes = {1, 2, 3, 4, 7, 8};
const std::vector<DType> kDTypes = {DType::f32, DType::f64};

std::vector<int64_t> counts(int n) { return {0, 1, 2, 5, n, n + 1, 4099}; }

double sum_at(int n, int64_t index) {
  double sum = 0;
  for (int r = 0; r < n; ++r) sum += term(r, index);
  return sum;
}

double max_at(int n, int64_t index) {
  double max = term(0, index);
  for (int r = 1; r < n; ++r) max = std::max(max, term(r, index));
  return max;
}

// How many elements of x are not what they should be. NaN counts.
int64_t wrong(const Array& x, const std::function<double(int64_t)>& expected) {
  int64_t count = 0;
  const std::vector<double> got = values(x);
  for (int64_t i = 0; i < x.count(); ++i) count += !(got[static_cast<size_t>(i)] == expected(i));
  return count;
}

// Runs each collective once on every size and dtype; returns the number of wrong elements.
int64_t run_all(Rank& rank, int64_t count, DType dtype) {
  const int n = rank.size(), r = rank.index();
  Comm& comm = rank.comm();
  const auto mine = [&](int64_t i) { return term(r, i); };
  const auto make = [&](int64_t size) { return make_array(rank, dtype, size, mine); };
  int64_t errors = 0;

  Array x = make(count);
  comm.all_reduce(x);
  errors += wrong(x, [&](int64_t i) { return sum_at(n, i); });

  x = make(count);
  comm.all_reduce(x, Reduce::max);
  errors += wrong(x, [&](int64_t i) { return max_at(n, i); });

  const int root = static_cast<int>(count % n);
  x = make(count);
  comm.broadcast(x, root);
  errors += wrong(x, [&](int64_t i) { return term(root, i); });

  Array whole = rank.device().allocate(dtype, {n * count});
  comm.all_gather(make(count), whole);
  errors += wrong(whole, [&](int64_t i) {
    return count == 0 ? 0 : term(static_cast<int>(i / count), i % count);
  });

  Array shard = rank.device().allocate(dtype, {count});
  comm.reduce_scatter(make(n * count), shard);
  errors += wrong(shard, [&](int64_t i) { return sum_at(n, r * count + i); });

  comm.all_to_all(make(n * count), whole);
  errors += wrong(whole, [&](int64_t i) {
    return count == 0 ? 0 : term(static_cast<int>(i / count), r * count + i % count);
  });
  return errors;
}

}  // namespace

TEST_CASE("every collective by every algorithm equals the serial result") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    for (const int n : kSizes) {
      std::atomic<int64_t> errors = 0;
      World({.tp = n, .algorithm = algorithm, .threads_per_rank = 1}).run([&](Rank& rank) {
        for (const DType dtype : kDTypes) {
          for (const int64_t count : counts(n)) errors += run_all(rank, count, dtype);
        }
      });
      INFO(name(algorithm) << " on " << n << " ranks");
      CHECK(errors == 0);
    }
  }
}

TEST_CASE("the bytes counted on the wire are the bytes that the table predicts") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    for (const int n : kSizes) {
      const auto records =
          World({.tp = n, .algorithm = algorithm, .threads_per_rank = 1}).run([&](Rank& rank) {
            for (const int64_t count : counts(n)) run_all(rank, count, DType::f64);
          });
      for (int r = 0; r < n; ++r) {
        const std::vector<Event>& events = records[static_cast<size_t>(r)].ledger.events();
        CHECK(events.size() == (n == 1 ? 0 : counts(n).size() * 6));
        for (const Event& event : events) {
          const int root = event.op == Op::broadcast ? static_cast<int>(event.elements % n) : 0;
          INFO(name(event.op) << " by " << name(algorithm) << ", rank " << r << " of " << n << ", "
                              << event.elements << " elements");
          CHECK(event.wire_bytes ==
                predicted_wire_bytes(event.op, algorithm, r, n, event.elements, event.dtype, root));
          CHECK(event.payload_bytes == event.elements * 8);
          CHECK(event.end_ns >= event.start_ns);
        }
      }
    }
  }
}

TEST_CASE("what divides is predicted as the textbook says") {
  const auto predict = [](Op op, Algorithm algorithm, int rank) {
    return predicted_wire_bytes(op, algorithm, rank, 4, 1000, DType::f32);
  };
  for (int r = 0; r < 4; ++r) {
    CHECK(predict(Op::all_reduce, Algorithm::ring, r) == 2 * 3 * 4000 / 4);
    CHECK(predict(Op::all_reduce, Algorithm::direct, r) == 2 * 3 * 4000 / 4);
    CHECK(predict(Op::all_reduce, Algorithm::gather, r) == 3 * 4000);
    CHECK(predict(Op::all_gather, Algorithm::ring, r) == 3 * 4000 / 4);
    CHECK(predict(Op::reduce_scatter, Algorithm::ring, r) == 3 * 4000 / 4);
  }
  CHECK(predict(Op::all_reduce, Algorithm::tree, 0) == 2 * 4000);  // two children
  CHECK(predict(Op::all_reduce, Algorithm::tree, 2) == 2 * 4000);  // one child and the parent
  CHECK(predict(Op::all_reduce, Algorithm::tree, 3) == 4000);      // a leaf
  CHECK(find_algorithm(Op::all_reduce, Algorithm::ring).steps(4) == 6);
  CHECK(find_algorithm(Op::all_reduce, Algorithm::tree).steps(5) == 6);
}

TEST_CASE("the table has every movement of data by every algorithm, once") {
  std::map<std::pair<Op, Algorithm>, int> rows;
  for (const AlgorithmRow& row : algorithm_table()) ++rows[{row.op, row.algorithm}];
  CHECK(rows.size() == 5 * 4);
  for (const auto& [key, count] : rows) CHECK(count == 1);
}

namespace {

// The bytes that every rank holds after an all-reduce of numbers whose sums round, one per rank.
using Bits = std::vector<std::vector<double>>;
Bits reduced(Algorithm algorithm, int n, int64_t count, CommBreakage breakage = {}) {
  World world({.tp = n,
               .algorithm = algorithm,
               .threads_per_rank = 1,
               .comm_breakage = std::move(breakage)});
  return world
      .run([&](Rank& rank) {
        Array x = make_array(rank, DType::f32, count,
                             [&](int64_t i) { return rough_term(rank.index(), i); });
        rank.comm().all_reduce(x);
        return values(x);
      })
      .results;
}

bool identical(const Bits& bits) {
  for (const auto& one : bits) {
    if (one != bits[0]) return false;
  }
  return true;
}

int64_t drop_sums(Transport& honest, Rank&, const Post& call, const Array& in, Array& out) {
  return call.op == Op::all_reduce ? 0 : honest.move(call, in, out);
}

int64_t swap_shards(Transport& honest, Rank&, const Post& call, const Array& in, Array& out) {
  const int64_t sent = honest.move(call, in, out);
  if (call.op == Op::all_gather) {
    float* x = out.as<float>();
    std::swap_ranges(x, x + in.count(), x + in.count());
  }
  return sent;
}

TEST_CASE("algorithms: a row's formula is what an average rank sends, where n divides the tensor") {
  const std::map<std::string_view, double (*)(double, double)> formulas = {
      {"2 (n-1)/n S", [](double n, double S) { return 2 * (n - 1) / n * S; }},
      {"(n-1)/n S", [](double n, double S) { return (n - 1) / n * S; }},
      {"(n-1) S", [](double n, double S) { return (n - 1) * S; }}};
  for (const AlgorithmRow& row : algorithm_table()) {
    for (int n : {2, 3, 4, 8}) {
      CAPTURE(name(row.op), row.name, n);
      const int64_t S = 24 * n;
      double sent = 0;
      for (int rank = 0; rank < n; ++rank)
        sent += static_cast<double>(row.sent.elements({rank, n, S, 0}));
      CHECK(sent / n == Approx(formulas.at(row.sent.formula)(n, static_cast<double>(S))));
    }
  }
}

}  // namespace

TEST_CASE("all_reduce: every rank ends with identical bits, in every run") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    for (const int n : {2, 3, 8}) {
      INFO(name(algorithm) << " on " << n << " ranks");
      const Bits first = reduced(algorithm, n, 70001);
      CHECK(identical(first));
      CHECK(first == reduced(algorithm, n, 70001));
    }
  }
}

TEST_CASE("all_reduce: direct and gather sum strictly in rank order") {
  for (const int n : {2, 3, 8}) {
    std::vector<double> serial;
    for (int64_t i = 0; i < 4099; ++i) {
      float sum = static_cast<float>(rough_term(0, i));
      for (int r = 1; r < n; ++r) sum += static_cast<float>(rough_term(r, i));
      serial.push_back(sum);
    }
    CHECK(reduced(Algorithm::direct, n, 4099)[0] == serial);
    CHECK(reduced(Algorithm::gather, n, 4099)[0] == serial);
  }
}

TEST_CASE("all_reduce: tensors larger than a piece are whole, by every algorithm") {
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    std::atomic<int64_t> errors = 0;
    World({.tp = 3, .algorithm = algorithm}).run([&](Rank& rank) {
      Array x =
          make_array(rank, DType::f32, 600'001, [&](int64_t i) { return term(rank.index(), i); });
      rank.comm().all_reduce(x);
      errors += wrong(x, [](int64_t i) { return sum_at(3, i); });
    });
    CHECK(errors == 0);
  }
}

TEST_CASE("mutant: a dropped all_reduce leaves the ranks with different bits") {
  CHECK_FALSE(identical(reduced(Algorithm::direct, 4, 100, {.move = drop_sums})));
}

TEST_CASE("mutant: swapped shards are not what an all_gather should give") {
  std::atomic<int64_t> errors = 0;
  World({.tp = 4, .comm_breakage = {.move = swap_shards}}).run([&](Rank& rank) {
    errors += run_all(rank, 5, DType::f32);  // 2 shards of 5 numbers, on 4 ranks
  });
  CHECK(errors == 2 * 5 * 4);
}

}  // namespace tplab
