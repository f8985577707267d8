// Collectives on views: arrays that are part of a larger one, as the gradients of a model are.

#include <atomic>
#include <catch2/catch.hpp>

#include "ranks.h"

namespace tplab {
namespace {

using Catch::Contains;

const std::vector<Algorithm> kAlgorithms = {Algorithm::direct, Algorithm::ring, Algorithm::tree,
                                            Algorithm::gather};
const std::vector<int> kViewSizes = {1, 2, 3, 8};
// None a multiple of the number of ranks or of a SIMD register.
const std::vector<int64_t> kCounts = {1, 5, 13, 4099, 20'011};
constexpr int64_t kBefore = 3, kAfter = 5;  // so that no view is aligned

// What n ranks' terms sum to at each place of the largest storage.
std::vector<double> view_sums(int n) {
  std::vector<double> sums(static_cast<size_t>(kBefore + n * kCounts.back()));
  for (size_t i = 0; i < sums.size(); ++i)
    for (int r = 0; r < n; ++r) sums[i] += term(r, static_cast<int64_t>(i));
  return sums;
}

// Elements of `view`, which begins at `begin` of its storage, that are not the ranks' sums.
int64_t not_summed(const Array& view, const std::vector<double>& sums, int64_t begin) {
  int64_t wrong = 0;
  for (const double got : values(view)) wrong += !(got == sums.at(static_cast<size_t>(begin++)));
  return wrong;
}

// Elements of `storage` outside [begin, begin + count) that are no longer rank r's own.
int64_t disturbed(const Array& storage, int r, int64_t begin, int64_t count) {
  int64_t wrong = 0;
  const std::vector<double> got = values(storage);
  for (int64_t i = 0; i < storage.count(); ++i) {
    if (i < begin || i >= begin + count) wrong += !(got[static_cast<size_t>(i)] == term(r, i));
  }
  return wrong;
}

// Runs body(rank, dtype, count, sums) everywhere, by every algorithm; body returns what was wrong.
using Body = std::function<int64_t(Rank&, DType, int64_t, const std::vector<double>&)>;
void everywhere(const Body& body) {
  for (const Algorithm algorithm : kAlgorithms) {
    for (const int n : kViewSizes) {
      std::atomic<int64_t> wrong = 0;
      const std::vector<double> sums = view_sums(n);
      World({.tp = n, .algorithm = algorithm, .threads_per_rank = 1}).run([&](Rank& rank) {
        for (const int64_t count : kCounts) {
          for (const DType dtype : {DType::f32, DType::f64})
            wrong += body(rank, dtype, count, sums);
        }
      });
      INFO(name(algorithm) << " on " << n << " ranks");
      CHECK(wrong == 0);
    }
  }
}

}  // namespace

TEST_CASE("all_reduce of a view sums it, and leaves what is around it alone") {
  everywhere([](Rank& rank, DType dtype, int64_t count, const std::vector<double>& sums) {
    const int r = rank.index();
    const Array storage =
        make_array(rank, dtype, kBefore + count + kAfter, [&](int64_t i) { return term(r, i); });
    Array view = storage.part(kBefore, {count});
    rank.comm().all_reduce(view);
    int64_t wrong = disturbed(storage, r, kBefore, count);
    return wrong + not_summed(view, sums, kBefore);
  });
}

TEST_CASE("all_gather and reduce_scatter between views of different storage") {
  everywhere([](Rank& rank, DType dtype, int64_t count, const std::vector<double>& sums) {
    const int r = rank.index(), n = rank.size();
    const auto mine = [&](int64_t i) { return term(r, i); };
    const Array small = make_array(rank, dtype, kBefore + count + kAfter, mine);
    const Array large = make_array(rank, dtype, kBefore + n * count + kAfter, mine);
    Array shard = small.part(kBefore, {count}), whole = large.part(kBefore, {n * count});
    rank.comm().reduce_scatter(whole, shard);
    int64_t wrong = disturbed(small, r, kBefore, count) + disturbed(large, r, 0, 0) +
                    not_summed(shard, sums, kBefore + r * count);
    rank.comm().all_gather(shard, whole);
    wrong += disturbed(large, r, kBefore, n * count);
    return wrong + not_summed(whole, sums, kBefore);
  });
}

TEST_CASE("a shard may be this rank's own part of the whole: reduce_scatter, then all_gather") {
  everywhere([](Rank& rank, DType dtype, int64_t count, const std::vector<double>& sums) {
    const int r = rank.index(), n = rank.size();
    const Array storage = make_array(rank, dtype, kBefore + n * count + kAfter,
                                     [&](int64_t i) { return term(r, i); });
    Array whole = storage.part(kBefore, {n * count}), shard = whole.part(r * count, {count});
    rank.comm().reduce_scatter(whole, shard);
    int64_t wrong = not_summed(shard, sums, kBefore + r * count);
    rank.comm().all_gather(shard, whole);
    wrong += disturbed(storage, r, kBefore, n * count);
    return wrong + not_summed(whole, sums, kBefore);
  });
}

TEST_CASE("views that share memory in any other way are refused") {
  const auto refusal = [](const std::function<void(Comm&, const Array&)>& call) {
    const Failure failure = failure_of({.tp = 4}, [&](Rank& rank) {
      Array storage = rank.device().allocate(DType::f32, {20});
      rank.device().zero(storage);
      call(rank.comm(), storage);
    });
    CHECK(failure.kind == ErrorKind::usage);
    return failure.text;
  };
  CHECK_THAT(refusal([](Comm& comm, const Array& storage) {
               Array whole = storage.part(0, {16});
               comm.all_gather(storage.part((comm.rank() + 1) % 4 * 4, {4}), whole);
             }),
             Contains("another rank's part") && Contains("fix: use part "));
  CHECK_THAT(refusal([](Comm& comm, const Array& storage) {
               Array shard = storage.part(comm.rank() * 4 + 1, {4});
               comm.reduce_scatter(storage.part(0, {16}), shard);
             }),
             Contains("another rank's part"));
  CHECK_THAT(refusal([](Comm& comm, const Array& storage) {
               Array out = storage.part(7, {8});
               comm.all_to_all(storage.part(0, {8}), out);
             }),
             Contains("share memory"));
}

}  // namespace tplab
