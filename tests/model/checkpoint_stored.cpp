#include <cmath>

#include "checkpoint_files.h"
#include "model/files/stored.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// Element (r, c) of the test matrices: exact in every format down to bf16's 8 bits.
double element(int64_t r, int64_t c) { return static_cast<double>((r * 31 + c * 7) % 255 - 127); }

// A value's bytes in a format; only for small integers.
std::string encode(StoredType type, double value) {
  if (type == StoredType::f64) return raw(value);
  const auto single = static_cast<float>(value);
  uint32_t bits;
  std::memcpy(&bits, &single, sizeof bits);
  if (type == StoredType::f32) return raw(single);
  if (type == StoredType::bf16) return raw(static_cast<uint16_t>(bits >> 16));
  const uint32_t exponent = bits >> 23 & 0xff;
  const uint32_t half = exponent == 0 ? 0 : (exponent - 112) << 10 | (bits >> 13 & 0x3ff);
  return raw(static_cast<uint16_t>((bits >> 16 & 0x8000u) | half));
}

// A file of 3 bytes and then the matrix, so that its values are unaligned.
std::shared_ptr<const ByteSource> matrix_file(StoredType type, int64_t rows, int64_t cols) {
  std::string bytes = "abc";
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) bytes += encode(type, element(r, c));
  }
  return in_memory(bytes);
}

// The slice of f(row, col) that is expected.
template <class Real, class F>
std::vector<Real> expected(const Slice& slice, F&& f) {
  std::vector<Real> values;
  for (const Range& rows : slice.rows) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      for (int64_t c = slice.cols.begin; c < slice.cols.end; ++c) {
        values.push_back(static_cast<Real>(f(r, c)));
      }
    }
  }
  return values;
}

template <class Real>
void check_slices(StoredType type, int64_t rows, int64_t cols) {
  const auto file = matrix_file(type, rows, cols);
  const StoredMatrix matrix = {file.get(), 3, type, rows, cols};
  const auto parts = [](int64_t n_rows, int64_t n_cols) {
    return std::vector<Slice>{{{{0, n_rows}}, {0, n_cols}},
                              {{{n_rows / 2, n_rows}}, {0, n_cols}},
                              {{{0, n_rows}}, {n_cols / 3, n_cols / 3 + 1}},
                              {{{1, n_rows / 2}, {0, 1}, {n_rows - 1, n_rows}}, {1, n_cols - 1}},
                              {{{2, 2}}, {0, n_cols}},
                              {{}, {0, n_cols}}};
  };
  for (const Slice& slice : parts(rows, cols)) {
    std::vector<Real> out(static_cast<size_t>(slice.count()));
    read_slice(matrix, slice, {dtype_of<Real>, out.data(), slice.count()});
    CHECK(out == expected<Real>(slice, element));
  }
  for (const Slice& slice : parts(cols, rows)) {
    std::vector<Real> out(static_cast<size_t>(slice.count()));
    read_transposed_slice(matrix, slice, {dtype_of<Real>, out.data(), slice.count()});
    CHECK(out == expected<Real>(slice, [](int64_t r, int64_t c) { return element(c, r); }));
  }
}

}  // namespace

TEST_CASE("stored: slices and transposed slices are the right elements in every format") {
  for (const StoredType type :
       {StoredType::f64, StoredType::f32, StoredType::f16, StoredType::bf16}) {
    CAPTURE(row_of(type).name);
    check_slices<float>(type, 37, 53);
    check_slices<double>(type, 37, 53);
    check_slices<float>(type, 9, 5000);     // gaps are skipped
    check_slices<float>(type, 3, 300000);   // a row is more than the staging memory
    check_slices<double>(type, 1500, 400);  // many blocks of rows
  }
}

TEST_CASE("stored: every f16 is converted exactly, subnormals, infinities and NaN included") {
  std::vector<uint16_t> bits;
  for (uint32_t i = 0; i < 0x10000; ++i) bits.push_back(static_cast<uint16_t>(i));
  std::vector<double> values(bits.size());
  read_doubles(*in_memory(raw(bits)), 0, StoredType::f16, 0x10000, values.data());
  int wrong = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    const int exponent = bits[i] >> 10 & 31, fraction = bits[i] & 1023;
    const double magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    const double value = bits[i] & 0x8000 ? -magnitude : magnitude;
    const bool same = std::isnan(value)
                          ? std::isnan(values[i])
                          : values[i] == value && std::signbit(values[i]) == std::signbit(value);
    wrong += !same;
  }
  CHECK(wrong == 0);
}

TEST_CASE("stored: bf16 is the upper half of f32") {
  const std::vector<uint16_t> bits = {0x3f80, 0xbf81, 0x0001, 0x8000, 0x7f80, 0x7f7f};
  std::vector<double> values(bits.size());
  read_doubles(*in_memory(raw(bits)), 0, StoredType::bf16, 6, values.data());
  CHECK(values == std::vector<double>{1, -1.0078125, 0x1p-133, -0.0, INFINITY, 0x1.fep127});
}

TEST_CASE("stored: a slice past its matrix or not of the output's size is refused") {
  const auto file = matrix_file(StoredType::f32, 4, 6);
  const StoredMatrix matrix = {file.get(), 3, StoredType::f32, 4, 6};
  std::vector<float> out(100);
  const auto read = [&](const Slice& slice, int64_t count) {
    read_slice(matrix, slice, {DType::f32, out.data(), count});
  };
  CHECK_NOTHROW(read({{{0, 4}}, {0, 6}}, 24));
  CHECK_THROWS_AS(read({{{0, 5}}, {0, 6}}, 30), Error);
  CHECK_THROWS_AS(read({{{0, 4}}, {0, 7}}, 28), Error);
  CHECK_THROWS_AS(read({{{-1, 4}}, {0, 6}}, 30), Error);
  CHECK_THROWS_AS(read({{{3, 2}}, {0, 6}}, -6), Error);
  CHECK_THROWS_AS(read({{{0, 4}}, {0, 6}}, 23), Error);
}

TEST_CASE("stored: reading past the end of a file is an error, not a short read") {
  const auto file = in_memory("12345678");
  char out[16];
  CHECK_NOTHROW(file->read(8, out, 0));
  CHECK_THAT(refusal([&] { file->read(1, out, 8); }), Catch::Contains("8 bytes at 1"));
  CHECK_THROWS_AS(file->read(-1, out, 1), Error);
  CHECK_THROWS_AS(file->read(INT64_MAX, out, 8), Error);
  CHECK_THROWS_AS(file->read(0, out, -1), Error);
}
