// Arrays for the examples of operations, in storage with numbers around them that nobody may touch.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "sim/bf16.h"
#include "sim/device.h"
#include "tests/sim/numbers.h"

namespace tplab::testing {

// Of B sequences of T positions, C features and O others.
struct Sizes {
  int64_t B, T, C, O;
};

inline std::vector<double> numbers_of(Device& device, const Array& x) {
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
    return make_ids(shape,
                    [=](int64_t i) { return i % 3 == 1 ? first - 1 : first + i * 7 % rows; });
  }
  // Of positions in a cache: most, and one less for each sequence after the first.
  Array counts(int64_t sequences, int64_t most) {
    return make_ids({sequences}, [=](int64_t b) { return std::max<int64_t>(most - b, 0); });
  }
  // One f64, as sums and scales are.
  Array number(double value) {
    return make({1}, DType::f64, [value](int64_t) { return value; });
  }

  int64_t numbers_touched_around() const {
    int64_t touched = 0;
    for (const Array& storage : storages_) {
      const std::vector<double> numbers = numbers_of(device_, storage);
      for (int64_t i = 0; i < storage.count(); ++i) {
        if (i >= before_ && i < storage.count() - kAfter) continue;
        touched += !(numbers[static_cast<size_t>(i)] == guard(i));
      }
    }
    return touched;
  }

 private:
  static constexpr int64_t kAfter = 5;  // numbers of a storage behind its array
  static double guard(int64_t i) { return static_cast<double>(1000 + 8 * (i % 3)); }

  Array positive(const Shape& shape, DType dtype) {
    return make(shape, dtype,
                [seed = ++seeds_](int64_t i) { return 0.5 + std::abs(number_at(i, seed)); });
  }

  template <class Value>
  Array make_ids(const Shape& shape, Value value) {
    constexpr int32_t kNone = -7;
    std::vector<int32_t> list(static_cast<size_t>(before_ + shape.count() + kAfter), kNone);
    for (int64_t i = 0; i < shape.count(); ++i)
      list[static_cast<size_t>(before_ + i)] = static_cast<int32_t>(value(i));
    Array whole = device_.allocate(DType::i32, {std::ssize(list)});
    device_.upload({DType::i32, list.data(), std::ssize(list)}, whole);
    return whole.part(before_, shape);
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
    storages_.push_back(whole);
    return whole.part(before_, shape);
  }

  Device& device_;
  DType dtype_;
  int64_t before_;  // numbers of a storage before its array
  int seeds_ = 0;
  std::vector<Array> storages_;  // of numbers; each with its array in the middle
};

}  // namespace tplab::testing
