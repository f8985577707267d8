// What holds for every operation on every device: an operation added to the list does not compile
// here until it has an example. What each one computes is tested against plain loops elsewhere.

#include <catch2/catch.hpp>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>

#include "sim/cuda/gpus.h"
#include "sim/cuda/host/host_runtime.h"
#include "sim/machine/watched_device.h"
#include "sim/meta/meta_device.h"
#include "sim/ops/list.h"
#include "sim/recorder.h"
#include "tests/sim/numbers.h"

namespace tplab {
namespace {

// Of B sequences of T positions, C features and O others.
struct Sizes {
  int64_t B, T, C, O;
};

constexpr int64_t kAfter = 5;

std::vector<double> numbers_of(Device& device, const Array& x) {
  const auto downloaded = [&](auto zero) {
    std::vector<decltype(zero)> numbers(static_cast<size_t>(x.count()));
    device.download(x, {x.dtype(), numbers.data(), x.count()});
    std::vector<double> all;
    for (const auto number : numbers) all.push_back(static_cast<double>(number));
    return all;
  };
  return x.dtype() == DType::i32 ? downloaded(int32_t{}) : dispatch(x.dtype(), downloaded);
}

// Makes the arrays of one example, in storage with numbers around them that nobody may touch:
// aligned to 16 bytes where C is a multiple of 8, and then all are read in whole packs, else not.
// The numbers are the same in every dtype, and exact in bf16.
class Maker {
 public:
  Maker(Device& device, DType dtype, const Sizes& sizes)
      : device_(device), dtype_(dtype), before_(sizes.C % 8 == 0 ? 16 : 3) {}

  Array read(const Shape& shape) {
    return make(shape, dtype_, [seed = ++seeds_](int64_t i) { return number_at(i, seed); });
  }
  Array positive(const Shape& shape) { return positive(shape, dtype_); }
  // Overwritten whole: nothing of what is in it may be left.
  Array written(const Shape& shape, std::optional<DType> dtype = {}) {
    return make(shape, dtype.value_or(dtype_),
                [](int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
  }
  // The same of accumulators: gradients of parameters, moments, statistics of rows.
  Array read_sums(const Shape& shape) {
    return make(shape, accumulator(dtype_),
                [seed = ++seeds_](int64_t i) { return number_at(i, seed); });
  }
  // Of squares, or sums of exponentials.
  Array positive_sums(const Shape& shape) { return positive(shape, accumulator(dtype_)); }
  Array written_sums(const Shape& shape) { return written(shape, accumulator(dtype_)); }
  // Every third id is of no row of a part of the vocabulary.
  Array ids(const Shape& shape, int64_t rows, int64_t first) {
    const int64_t count = shape.count();
    std::vector<int32_t> list(static_cast<size_t>(before_ + count + kAfter), -7);
    for (int64_t i = 0; i < count; ++i)
      list[static_cast<size_t>(before_ + i)] =
          static_cast<int32_t>(i % 3 == 1 ? first - 1 : first + i * 7 % rows);
    Array whole = device_.allocate(DType::i32, {std::ssize(list)});
    device_.upload({DType::i32, list.data(), std::ssize(list)}, whole);
    return whole.part(before_, shape);
  }
  // Of positions in a cache: most, and one less for each sequence after the first.
  Array counts(int64_t sequences, int64_t most) {
    std::vector<int32_t> list(static_cast<size_t>(before_ + sequences + kAfter), -7);
    for (int64_t b = 0; b < sequences; ++b)
      list[static_cast<size_t>(before_ + b)] = static_cast<int32_t>(std::max<int64_t>(most - b, 0));
    Array whole = device_.allocate(DType::i32, {std::ssize(list)});
    device_.upload({DType::i32, list.data(), std::ssize(list)}, whole);
    return whole.part(before_, {sequences});
  }
  // One f64, as sums and scales are.
  Array number(double value) {
    return make({1}, DType::f64, [value](int64_t) { return value; });
  }

  int64_t numbers_touched_around() const {
    int64_t touched = 0;
    for (const Storage& storage : storages_) {
      const std::vector<double> numbers = numbers_of(device_, storage.whole);
      for (int64_t i = 0; i < storage.whole.count(); ++i) {
        if (i >= before_ && i < storage.whole.count() - kAfter) continue;
        touched += !(numbers[static_cast<size_t>(i)] == guard(i));
      }
    }
    return touched;
  }

 private:
  struct Storage {
    Array whole;
  };
  static double guard(int64_t i) { return static_cast<double>(1000 + 8 * (i % 3)); }

  Array positive(const Shape& shape, DType dtype) {
    return make(shape, dtype,
                [seed = ++seeds_](int64_t i) { return 0.5 + std::abs(number_at(i, seed)); });
  }

  template <class Value>
  Array make(const Shape& shape, DType dtype, Value value) {
    const int64_t count = shape.count();
    const Array whole = device_.allocate(dtype, {before_ + count + kAfter});
    if (!device_.has_numbers()) return whole.part(before_, shape);
    dispatch(dtype, [&](auto zero) {
      using Real = decltype(zero);
      std::vector<Real> x(static_cast<size_t>(whole.count()));
      for (int64_t i = 0; i < whole.count(); ++i) {
        const bool inside = i >= before_ && i < before_ + count;
        x[static_cast<size_t>(i)] =
            static_cast<Real>(static_cast<float>(bf16(inside ? value(i - before_) : guard(i))));
      }
      Array to = whole;
      device_.upload({dtype, x.data(), whole.count()}, to);
    });
    storages_.push_back({whole});
    return whole.part(before_, shape);
  }

  Device& device_;
  DType dtype_;
  int64_t before_;  // numbers of a storage before its array
  int seeds_ = 0;
  std::vector<Storage> storages_;
};

// --- An example of each operation.
template <class Op>
using An = std::type_identity<Op>;

Operation example(An<op::Linear>, Maker& m, const Sizes& s) {
  return op::Linear{m.read({s.B, s.T, s.C}), m.read({s.O, s.C}), m.read({s.O}),
                    m.written({s.B, s.T, s.O})};
}
Operation example(An<op::LinearBackwardInput>, Maker& m, const Sizes& s) {
  return op::LinearBackwardInput{m.read({s.B, s.T, s.O}), m.read({s.O, s.C}),
                                 m.written({s.B, s.T, s.C})};
}
Operation example(An<op::LinearBackwardWeight>, Maker& m, const Sizes& s) {
  return op::LinearBackwardWeight{m.read({s.B, s.T, s.O}), m.read({s.B, s.T, s.C}),
                                  m.read_sums({s.O, s.C})};
}
Operation example(An<op::SumRows>, Maker& m, const Sizes& s) {
  return op::SumRows{m.read({s.B, s.T, s.C}), m.read_sums({s.C})};
}
Operation example(An<op::Add>, Maker& m, const Sizes& s) {
  return op::Add{m.read({s.B, s.T, s.C}), m.read({s.C}), m.written({s.B, s.T, s.C})};
}
Operation example(An<op::Activation>, Maker& m, const Sizes& s) {
  return op::Activation{ActivationKind::gelu, m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
Operation example(An<op::ActivationBackward>, Maker& m, const Sizes& s) {
  return op::ActivationBackward{ActivationKind::gelu_tanh, m.read({s.B, s.T, s.C}),
                                m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
Operation example(An<op::Gated>, Maker& m, const Sizes& s) {
  return op::Gated{{.activation = ActivationKind::silu},
                   m.read({s.B, s.T, 2 * s.C}),
                   m.written({s.B, s.T, s.C})};
}
Operation example(An<op::GatedBackward>, Maker& m, const Sizes& s) {
  return op::GatedBackward{{.limit = 0.5, .alpha = 1.702},
                           m.read({s.B, s.T, 2 * s.C}),
                           m.read({s.B, s.T, s.C}),
                           m.written({s.B, s.T, 2 * s.C})};
}
Operation example(An<op::SoftCap>, Maker& m, const Sizes& s) {
  return op::SoftCap{0.7, m.read({s.B, s.T, s.C}), m.written({s.B, s.T, s.C})};
}
Operation example(An<op::SoftCapBackward>, Maker& m, const Sizes& s) {
  return op::SoftCapBackward{1.25, m.read({s.B, s.T, s.C}), m.read({s.B, s.T, s.C}),
                             m.written({s.B, s.T, s.C})};
}
DropoutMask mask(const Sizes& s) {
  return {.rate = 0.3,
          .stream = RandomStream(7, "every operation"),
          .first_sequence = 1,
          .first_position = 0,
          .whole_length = s.T,
          .first_head = 1,
          .whole_heads = 4};
}
Operation example(An<op::Dropout>, Maker& m, const Sizes& s) {
  return op::Dropout{m.read({s.B, s.T, s.C}), mask(s), m.written({s.B, s.T, s.C})};
}
Operation example(An<op::LayerNorm>, Maker& m, const Sizes& s) {
  return op::LayerNorm{m.read({s.B, s.T, s.C}), m.read({s.C}), m.read({s.C}), 1e-5,
                       m.written({s.B, s.T, s.C})};
}
Operation example(An<op::LayerNormBackward>, Maker& m, const Sizes& s) {
  return op::LayerNormBackward{m.read({s.B, s.T, s.C}),
                               m.read({s.C}),
                               1e-5,
                               m.read({s.B, s.T, s.C}),
                               m.written({s.B, s.T, s.C}),
                               m.read_sums({s.C}),
                               m.read_sums({s.C})};
}
Operation example(An<op::RmsNorm>, Maker& m, const Sizes& s) {
  return op::RmsNorm{m.read({s.B, s.T, s.C}), m.read({s.C}), 1e-5, true,
                     m.written({s.B, s.T, s.C})};
}
Operation example(An<op::RmsNormBackward>, Maker& m, const Sizes& s) {
  return op::RmsNormBackward{
      m.read({s.B, s.T, s.C}),    m.read({s.C}),     1e-5, true, m.read({s.B, s.T, s.C}),
      m.written({s.B, s.T, s.C}), m.read_sums({s.C})};
}
// 3 positions are in the longest cache; the sequences are of unequal lengths.
op::Past past(Maker& m, const Sizes& s) { return {m.counts(s.B, 3), 3}; }
Operation example(An<op::Rotary>, Maker& m, const Sizes& s) {
  const int64_t turned = s.C / 2 * 2;  // of heads of C
  return op::Rotary{
      m.read({s.B, s.T, 4 * s.C}),   m.read_sums({s.T + 3, turned}), 3, s.C, false, past(m, s),
      m.written({s.B, s.T, 4 * s.C})};
}
// All that attention can have: two heads of one key, a window, a soft cap.
constexpr int64_t kHeads = 4, kKvHeads = 2;
AttentionForm form(const Sizes& s, bool dropped) {
  return {.heads = kHeads,
          .kv_heads = kKvHeads,
          .scale = 0.3,
          .window = 1 + s.T / 2,
          .softcap = 1.5,
          .mask = dropped ? std::optional(mask(s)) : std::nullopt};
}
Operation example(An<op::CachedAttention>, Maker& m, const Sizes& s) {
  const Shape cache = {s.B, kKvHeads, s.T + 4, s.C};  // 1 position stays free
  return op::CachedAttention{form(s, false),
                             m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                             m.read({kHeads}),
                             past(m, s),
                             m.read(cache),
                             m.read(cache),
                             m.written({s.B, s.T, kHeads * s.C})};
}
Operation example(An<op::CausalAttention>, Maker& m, const Sizes& s) {
  return op::CausalAttention{form(s, true), m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                             m.read({kHeads}), m.written({s.B, s.T, kHeads * s.C}),
                             m.written_sums({s.B, kHeads, s.T, 2})};
}
Operation example(An<op::CausalAttentionBackward>, Maker& m, const Sizes& s) {
  return op::CausalAttentionBackward{form(s, true),
                                     m.read({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                                     m.read({kHeads}),
                                     m.read({s.B, s.T, kHeads * s.C}),
                                     m.positive_sums({s.B, kHeads, s.T, 2}),
                                     m.read({s.B, s.T, kHeads * s.C}),
                                     m.written({s.B, s.T, (kHeads + 2 * kKvHeads) * s.C}),
                                     m.read_sums({kHeads})};
}
Operation example(An<op::Embedding>, Maker& m, const Sizes& s) {
  return op::Embedding{m.ids({s.B, s.T}, s.O, 5), m.read({s.O, s.C}), 5,
                       m.written({s.B, s.T, s.C})};
}
Operation example(An<op::EmbeddingBackward>, Maker& m, const Sizes& s) {
  return op::EmbeddingBackward{m.ids({s.B, s.T}, s.O, 5), m.read({s.B, s.T, s.C}), 5,
                               m.read_sums({s.O, s.C})};
}
Operation example(An<op::RowMax>, Maker& m, const Sizes& s) {
  return op::RowMax{m.read({s.B, s.T, s.C}), s.C - 1, m.written_sums({s.B, s.T})};
}
Operation example(An<op::Pick>, Maker& m, const Sizes& s) {
  return op::Pick{m.read({s.B, s.T, s.C}), s.C - 1, m.ids({s.B, s.T}, s.C, 5), 5,
                  m.written_sums({s.B, s.T})};
}
Operation example(An<op::ExpRows>, Maker& m, const Sizes& s) {
  return op::ExpRows{m.read({s.B, s.T, s.C}), s.C - 1, m.read_sums({s.B, s.T}),
                     m.written_sums({s.B, s.T})};
}
Operation example(An<op::SoftmaxMinusOnehot>, Maker& m, const Sizes& s) {
  return op::SoftmaxMinusOnehot{m.positive({s.B, s.T, s.C}), s.C - 1, m.positive_sums({s.B, s.T}),
                                m.ids({s.B, s.T}, s.C, 5),   5,       0.25};
}
Operation example(An<op::SumOfLosses>, Maker& m, const Sizes& s) {
  const Shape rows{s.B, s.T};
  return op::SumOfLosses{
      m.read_sums(rows), m.read_sums(rows), m.positive_sums(rows), m.ids(rows, s.C, 5), 0.25,
      m.number(2)};
}
Operation example(An<op::CrossEntropy>, Maker& m, const Sizes& s) {
  return op::CrossEntropy{m.read({s.B, s.T, s.C}), m.ids({s.B, s.T}, s.C, 0),
                          m.written({1}, DType::f64)};
}
Operation example(An<op::SumOfSquares>, Maker& m, const Sizes& s) {
  return op::SumOfSquares{m.read({s.B, s.T, s.C}), m.written({1}, DType::f64)};
}
Operation example(An<op::ClipScale>, Maker& m, const Sizes&) {
  return op::ClipScale{m.number(7), m.number(3), 0.5, m.written({1}, DType::f64),
                       m.written({1}, DType::f64)};
}
Operation example(An<op::AdamW>, Maker& m, const Sizes& s) {
  return op::AdamW{{.learning_rate = 0.01,
                    .beta1 = 0.9,
                    .beta2 = 0.99,
                    .eps = 1e-8,
                    .weight_decay = 0.1,
                    .step = 3},
                   m.number(0.5),
                   m.read_sums({s.T, s.C}),
                   m.read_sums({s.T, s.C}),
                   m.positive_sums({s.T, s.C}),
                   m.read_sums({s.T, s.C}),
                   m.written({s.T, s.C})};
}
Operation example(An<op::LastPosition>, Maker& m, const Sizes& s) {
  return op::LastPosition{m.read({s.B, s.T, s.C}), m.written({s.B, 1, s.C})};
}
Operation example(An<op::JoinShards>, Maker& m, const Sizes& s) {
  return op::JoinShards{m.read({3, s.B * s.T, s.C}), m.written({s.B, s.T, 3 * s.C - 2})};
}
Operation example(An<op::CutShards>, Maker& m, const Sizes& s) {
  return op::CutShards{m.read({s.B, s.T, 4 * s.C}), 1, m.written({3, s.B * s.T, s.C})};
}

// --- All of them.

// what(make), for each: make(maker, sizes) makes its example.
template <class What>
void for_every_operation(What what) {
  [&]<size_t... I>(std::index_sequence<I...>) {
    (what([](Maker& maker, const Sizes& sizes) {
       return example(An<std::variant_alternative_t<I, AnyOperation>>{}, maker, sizes);
     }),
     ...);
  }
  (std::make_index_sequence<std::variant_size_v<AnyOperation>>{});
}

// One of nothing but tails; one of several tiles, registers and lanes; one of whole packs.
const std::vector<Sizes> kSizes = {{1, 1, 3, 2}, {2, 5, 13, 7}, {3, 33, 67, 129}, {2, 18, 64, 40}};

std::string_view name_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.kName; }, operation);
}
op::Arrays reads_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.reads(); }, operation);
}
op::Arrays writes_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.writes(); }, operation);
}
bool is_one_of(const Array& x, const op::Arrays& arrays) {
  for (const Array* one : arrays)
    if (one && one->data() == x.data()) return true;
  return false;
}
using Results = std::vector<std::vector<double>>;  // of each array that is written

// Runs the example, and checks what needs no other run.
template <class Make>
Results run(Device& device, DType dtype, const Sizes& sizes, Make make) {
  Maker maker(device, dtype, sizes);
  const Operation operation = make(maker, sizes);
  INFO(name_of(operation) << " in " << name(dtype) << ", [" << sizes.B << ", " << sizes.T << ", "
                          << sizes.C << "], " << sizes.O);
  const op::Arrays reads = reads_of(operation), writes = writes_of(operation);
  Results before;
  for (const Array* x : reads)
    if (x) before.push_back(numbers_of(device, *x));
  device.run(operation);
  device.wait();

  CHECK(maker.numbers_touched_around() == 0);
  size_t i = 0;
  for (const Array* x : reads) {
    if (!x) continue;
    const std::vector<double>& was = before[i++];
    if (!is_one_of(*x, writes)) CHECK(numbers_of(device, *x) == was);
  }
  Results results;
  for (const Array* x : writes) {
    if (!x) continue;
    results.push_back(numbers_of(device, *x));
    CHECK(std::all_of(results.back().begin(), results.back().end(),
                      [](double v) { return std::isfinite(v); }));
  }
  CHECK_FALSE(results.empty());
  return results;
}

template <class Make>
Results run_on_cpu(int lanes, DType dtype, const Sizes& sizes, Make make) {
  Team team(lanes);
  const auto device = make_cpu_device(team.crew());
  return run(*device, dtype, sizes, make);
}

// Each result is off by at most `relative` of the largest number wanted, or of 1, and by `stored`,
// the roundoff of what it is stored in, of itself.
void check_close(const Results& want, const Results& got, double relative, double stored) {
  REQUIRE(got.size() == want.size());
  for (size_t w = 0; w < want.size(); ++w) {
    REQUIRE(got[w].size() == want[w].size());
    double largest = 1, off = 0;
    for (size_t i = 0; i < want[w].size(); ++i) {
      largest = std::max(largest, std::abs(want[w][i]));
      off = std::max(off, std::abs(got[w][i] - want[w][i]) - stored * std::abs(want[w][i]));
    }
    INFO("result " << w << ": off by " << off << ", largest " << largest);
    CHECK(off <= relative * largest);
  }
}

// Of the arrays that an example writes.
template <class Make>
std::vector<DType> dtypes_written(DType dtype, Make make) {
  const auto device = make_meta_device(nullptr);
  Maker maker(*device, dtype, kSizes[0]);
  const Operation operation = make(maker, kSizes[0]);
  std::vector<DType> dtypes;
  for (const Array* x : writes_of(operation))
    if (x) dtypes.push_back(x->dtype());
  return dtypes;
}

struct Told final : Recorder {
  void computed(const Computation& computation) override {
    told.emplace_back(computation.operation);
    for (const Array* x : computation.writes) written += x && x->present();
  }
  std::vector<std::string> told;
  int written = 0;
};

struct Times final : OperationTimes {
  void starts(std::string_view operation) override { started.emplace_back(operation); }
  void ends() override { ++ended; }
  std::vector<std::string> started;
  int ended = 0;
};

}  // namespace

TEST_CASE("every operation writes what it says, whole, and nothing else, on any number of lanes") {
  for (const Sizes& sizes : kSizes) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      for_every_operation([&](auto make) {
        const Results alone = run_on_cpu(1, dtype, sizes, make);
        CHECK((run_on_cpu(3, dtype, sizes, make) == alone));
      });
    }
  }
}

TEST_CASE("every operation is in f32 and bf16 what it is in f64, to a few roundings") {
  // A result is at most some 1000 roundings of numbers no larger than the largest result and the
  // sums of 129 terms below 1 that it came from: 1000 u 130 < 0.01 would be a bug's size; sums of
  // random signs stay a hundred times below. In bf16 it is that of f32 rounded once more, by at
  // most a roundoff of itself.
  for (const Sizes& sizes : kSizes) {
    for_every_operation([&](auto make) {
      const Results f64 = run_on_cpu(1, DType::f64, sizes, make);
      for (const DType dtype : {DType::f32, DType::bf16}) {
        const Results got = run_on_cpu(1, dtype, sizes, make);
        const double stored = dtype == DType::bf16 ? unit_roundoff(dtype) : 0;
        INFO(name(dtype));
        check_close(f64, got, 1.01e-4, stored);
      }
    });
  }
}

TEST_CASE("every operation on the CPU is in bf16 what it is in f32, rounded once") {
  for (const Sizes& sizes : kSizes) {
    for_every_operation([&](auto make) {
      const Results f32 = run_on_cpu(1, DType::f32, sizes, make);
      const Results bf16s = run_on_cpu(1, DType::bf16, sizes, make);
      const std::vector<DType> dtypes = dtypes_written(DType::bf16, make);
      REQUIRE(bf16s.size() == f32.size());
      for (size_t w = 0; w < f32.size(); ++w) {
        std::vector<double> want = f32[w];
        if (dtypes[w] == DType::bf16)
          for (double& v : want) v = static_cast<double>(static_cast<float>(bf16(v)));
        INFO("result " << w);
        CHECK((bf16s[w] == want));
      }
    });
  }
}

void check_against_the_cpu(const std::function<std::unique_ptr<Device>()>& make_device) {
  // Sums of at most some 1000 terms in another order: 1000 u in f64; in f32 and bf16 as above,
  // where both results of the same f32 numbers are rounded, which may go to either side.
  // Attention's tensor cores take probabilities, and their gradients, rounded to bf16: a roundoff
  // of each term of a sum, and here the terms are together at most twice the largest result.
  const auto relative = [](DType dtype, bool attention) {
    if (dtype == DType::f64) return 1e-13;
    return attention && dtype == DType::bf16 ? 2 * unit_roundoff(dtype) : 1.01e-4;
  };
  for (const Sizes& sizes : kSizes) {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      for_every_operation([&](auto make) {
        const auto device = make_device();
        const Results once = run(*device, dtype, sizes, make);
        Maker maker(*device, dtype, sizes);
        const bool attention = name_of(make(maker, sizes)).ends_with("attention") ||
                               name_of(make(maker, sizes)).ends_with("attention_backward");
        const double stored = dtype == DType::bf16 ? 2 * unit_roundoff(dtype) : 0;
        INFO(name(dtype));
        check_close(run_on_cpu(1, dtype, sizes, make), once, relative(dtype, attention), stored);
        CHECK((run(*device, dtype, sizes, make) == once));  // threads took turns in other orders
      });
    }
  }
}

TEST_CASE("every operation is by the kernels for GPUs what it is on the CPU, run after run") {
  check_against_the_cpu(make_cuda_host_device);
}

TEST_CASE("every operation is on a GPU, where there is one, what it is on the CPU", "[cuda]") {
  if (!gpu_report().problem.empty()) return;
  check_against_the_cpu([] { return make_gpu_device({}); });
}

TEST_CASE("every operation runs on the meta device, which tells it by its name") {
  Told told;
  const auto device = make_meta_device(&told);
  std::set<std::string> names;
  for_every_operation([&](auto make) {
    Maker maker(*device, DType::f32, kSizes[1]);
    const Operation operation = make(maker, kSizes[1]);
    told = {};
    device->run(operation);
    REQUIRE(told.told.size() == 1);
    CHECK(told.told.back() == name_of(operation));
    CHECK(told.written > 0);
    names.emplace(name_of(operation));
  });
  CHECK(names.size() == std::variant_size_v<AnyOperation>);  // no two of one name
}

TEST_CASE("every operation is the same on a watched device, which tells what is done, and when") {
  for_every_operation([](auto make) {
    Times times;
    Told told;
    Team team(1);
    const auto watched = make_watched_device(make_cpu_device(team.crew()), &times, &told);
    const Results results = run(*watched, DType::f32, kSizes[1], make);
    CHECK((results == run_on_cpu(1, DType::f32, kSizes[1], make)));
    CHECK(times.started.size() == 1);
    CHECK(times.ended == 1);
    CHECK(told.told == times.started);
    CHECK(told.written > 0);
  });
}

}  // namespace tplab
