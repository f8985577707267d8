#include "model/files/stored.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <memory>
#include <type_traits>

#include "sim/error.h"

namespace tplab {
namespace {

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// IEEE half to float, exactly, subnormals included: the exponent is moved into place and
// corrected by multiplying with 2^(127 - 15).
inline float to_float(Half half) {
  const uint32_t magnitude = static_cast<uint32_t>(half.bits & 0x7fffu) << 13;
  const uint32_t sign = static_cast<uint32_t>(half.bits & 0x8000u) << 16;
  const bool finite = (half.bits & 0x7c00u) != 0x7c00u;
  const auto scaled = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  return std::bit_cast<float>((finite ? scaled : magnitude | 0x7f800000u) | sign);
}

inline float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

template <class To, class From>
inline To convert(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return static_cast<To>(to_float(value));
  } else {
    return static_cast<To>(value);
  }
}

// Calls f with a value whose type is the stored one's.
template <class F>
void visit_weight_type(StoredType type, F&& f) {
  switch (type) {
    case StoredType::f64:
      return f(double{});
    case StoredType::f32:
      return f(float{});
    case StoredType::f16:
      return f(Half{});
    case StoredType::bf16:
      return f(BFloat16{});
    default:
      fail(fmt::format("{} values are not weights", row_of(type).name), "");
  }
}

template <class F>
void visit_integer_type(StoredType type, F&& f) {
  switch (type) {
    case StoredType::i64:
      return f(int64_t{});
    case StoredType::i32:
      return f(int32_t{});
    case StoredType::i16:
      return f(int16_t{});
    case StoredType::i8:
      return f(int8_t{});
    case StoredType::u64:
      return f(uint64_t{});
    case StoredType::u32:
      return f(uint32_t{});
    case StoredType::u16:
      return f(uint16_t{});
    case StoredType::u8:
    case StoredType::boolean:
      return f(uint8_t{});
    default:
      fail(fmt::format("{} values are not integers", row_of(type).name), "");
  }
}

constexpr int64_t kStagingBytes = int64_t{1} << 20;
// Skipping fewer bytes than this costs more, as a system call, than reading them.
constexpr int64_t kGapBytes = 4096;

// Calls f(first_row, first_col, data, pitch, n_rows, n_cols) for blocks that tile `rows` x `cols`
// of a matrix; data[r * pitch + c] is element (first_row + r, first_col + c).
template <class Stored, class F>
void for_each_block(const StoredMatrix& matrix, Range rows, Range cols, F&& f) {
  constexpr int64_t kSize = sizeof(Stored);
  constexpr int64_t kMostCols = (kStagingBytes - kGapBytes) / kSize;
  if (rows.size() <= 0 || cols.size() <= 0) return;
  const int64_t block_cols = std::min(cols.size(), kMostCols);
  const bool skip_gaps = (matrix.cols - block_cols) * kSize > kGapBytes;
  const int64_t pitch = skip_gaps ? block_cols : matrix.cols;
  const int64_t block_rows = std::min(rows.size(), kStagingBytes / (pitch * kSize));
  const auto staging =
      std::make_unique_for_overwrite<Stored[]>(static_cast<size_t>(block_rows * pitch));

  const auto offset_of = [&](int64_t r, int64_t c) {
    return matrix.offset + (r * matrix.cols + c) * kSize;
  };
  for (int64_t r0 = rows.begin; r0 < rows.end; r0 += block_rows) {
    const int64_t n_rows = std::min(block_rows, rows.end - r0);
    for (int64_t c0 = cols.begin; c0 < cols.end; c0 += block_cols) {
      const int64_t n_cols = std::min(block_cols, cols.end - c0);
      if (skip_gaps) {
        for (int64_t r = 0; r < n_rows; ++r) {
          matrix.bytes->read(offset_of(r0 + r, c0), &staging[static_cast<size_t>(r * pitch)],
                             n_cols * kSize);
        }
      } else {
        matrix.bytes->read(offset_of(r0, c0), staging.get(),
                           ((n_rows - 1) * pitch + n_cols) * kSize);
      }
      f(r0, c0, staging.get(), pitch, n_rows, n_cols);
    }
  }
}

// One range of rows of the slice, [rows.size(), cols.size()], to out.
template <class Stored, class Real>
void copy_rows(const StoredMatrix& matrix, Range rows, Range cols, Real* out) {
  constexpr int64_t kSize = sizeof(Stored);
  const int64_t gap = (matrix.cols - cols.size()) * kSize;
  if constexpr (std::is_same_v<Stored, Real>) {
    if (gap == 0) {
      const int64_t first = matrix.offset + rows.begin * matrix.cols * kSize;
      return matrix.bytes->read(first, out, rows.size() * cols.size() * kSize);
    }
    if (gap > kGapBytes) {
      for (int64_t r = rows.begin; r < rows.end; ++r, out += cols.size()) {
        matrix.bytes->read(matrix.offset + (r * matrix.cols + cols.begin) * kSize, out,
                           cols.size() * kSize);
      }
      return;
    }
  }
  for_each_block<Stored>(matrix, rows, cols,
                         [&](int64_t r0, int64_t c0, const Stored* data, int64_t pitch,
                             int64_t n_rows, int64_t n_cols) {
                           Real* to = out + (r0 - rows.begin) * cols.size() + c0 - cols.begin;
                           for (int64_t r = 0; r < n_rows; ++r) {
                             for (int64_t c = 0; c < n_cols; ++c) {
                               to[r * cols.size() + c] = convert<Real>(data[r * pitch + c]);
                             }
                           }
                         });
}

// out[r, c] = matrix[c, r] for r in rows and c in cols, which are the transpose's.
template <class Stored, class Real>
void copy_transposed(const StoredMatrix& matrix, Range rows, Range cols, Real* out) {
  constexpr int64_t kTile = 16;  // a tile's lines, read and written, stay in the first cache
  for_each_block<Stored>(matrix, cols, rows,
                         [&](int64_t c0, int64_t r0, const Stored* data, int64_t pitch,
                             int64_t n_cols, int64_t n_rows) {
                           Real* to = out + (r0 - rows.begin) * cols.size() + c0 - cols.begin;
                           for (int64_t r1 = 0; r1 < n_rows; r1 += kTile) {
                             for (int64_t c1 = 0; c1 < n_cols; c1 += kTile) {
                               const int64_t r2 = std::min(r1 + kTile, n_rows),
                                             c2 = std::min(c1 + kTile, n_cols);
                               for (int64_t r = r1; r < r2; ++r) {
                                 for (int64_t c = c1; c < c2; ++c) {
                                   to[r * cols.size() + c] = convert<Real>(data[c * pitch + r]);
                                 }
                               }
                             }
                           }
                         });
}

bool within(Range range, int64_t size) {
  return range.begin >= 0 && range.begin <= range.end && range.end <= size;
}

void check_slice(const Slice& slice, int64_t n_rows, int64_t n_cols, const HostSpan& out) {
  int64_t count = 0;
  bool good = within(slice.cols, n_cols);
  for (const Range& rows : slice.rows) {
    good = good && within(rows, n_rows);
    if (good) count += rows.size() * slice.cols.size();
  }
  if (good && count == out.count) return;
  fail(fmt::format("a slice of {} values does not fit a matrix [{}, {}] and space for {}", count,
                   n_rows, n_cols, out.count),
       "this is a bug in tplab: please report it");
}

// Calls copy(Stored{}, Real{}, rows, to) for each range of rows and its place in `out`.
template <class Copy>
void for_each_range(const StoredMatrix& matrix, const Slice& slice, HostSpan out, Copy&& copy) {
  visit_weight_type(matrix.type, [&](auto stored) {
    dispatch(out.dtype, [&](auto real) {
      auto* to = static_cast<decltype(real)*>(out.data);
      for (const Range& rows : slice.rows) {
        copy(stored, rows, to);
        to += rows.size() * slice.cols.size();
      }
    });
  });
}

// `count` numbers from `offset` as a matrix of one row.
StoredMatrix one_row(const ByteSource& bytes, int64_t offset, StoredType type, int64_t count) {
  return {&bytes, offset, type, 1, count};
}

}  // namespace

void read_slice(const StoredMatrix& matrix, const Slice& slice, HostSpan out) {
  check_slice(slice, matrix.rows, matrix.cols, out);
  for_each_range(matrix, slice, out, [&](auto stored, Range rows, auto* to) {
    copy_rows<decltype(stored)>(matrix, rows, slice.cols, to);
  });
}

void read_transposed_slice(const StoredMatrix& matrix, const Slice& slice, HostSpan out) {
  check_slice(slice, matrix.cols, matrix.rows, out);
  for_each_range(matrix, slice, out, [&](auto stored, Range rows, auto* to) {
    copy_transposed<decltype(stored)>(matrix, rows, slice.cols, to);
  });
}

void read_doubles(const ByteSource& bytes, int64_t offset, StoredType type, int64_t count,
                  double* out) {
  const StoredMatrix row = one_row(bytes, offset, type, count);
  const auto copy = [&](auto stored) { copy_rows<decltype(stored)>(row, {0, 1}, {0, count}, out); };
  is_weight_type(type) ? visit_weight_type(type, copy) : visit_integer_type(type, copy);
}

void read_integers(const ByteSource& bytes, int64_t offset, StoredType type, int64_t count,
                   int64_t* out) {
  const StoredMatrix row = one_row(bytes, offset, type, count);
  visit_integer_type(type, [&](auto stored) {
    copy_rows<decltype(stored)>(row, {0, 1}, {0, count}, out);
  });
}

}  // namespace tplab
