// Number formats in files, and slices of matrices in files: read by position, converted,
// transposed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/bytes.h"
#include "model/files/slice.h"
#include "sim/dtype.h"
#include "sim/shape.h"

namespace tplab {

enum class StoredType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean, f8 };

// How a format is called by people, by safetensors and by PyTorch (empty: it has no such thing).
struct StoredTypeRow {
  StoredType type;
  int64_t size_bytes;
  std::string_view name, safetensors, torch_storage;
};
const std::vector<StoredTypeRow>& stored_types();
const StoredTypeRow& row_of(StoredType type);

// f64, f32, f16 and bf16: what weights are made of.
bool is_weight_type(StoredType type);

// A matrix in a file, [rows, cols] row-major.
struct StoredMatrix {
  const ByteSource* bytes;
  int64_t offset;  // of its first byte
  StoredType type;
  int64_t rows, cols;
};

// Fills out, [slice.row_count(), slice.cols.size()] row-major, with a part of the matrix, or of
// its transpose, converted to out.dtype. Reads only the rows and about only the columns asked
// for; stages at most 1 MiB, or nothing where the bytes can go straight to `out`.
//   REQUIRES: is_weight_type(matrix.type), the slice lies within the matrix (its transpose),
//   out.count == the slice's; throws Error(usage) otherwise, Error(bad_file) if reading fails.
void read_slice(const StoredMatrix& matrix, const Slice& slice, HostSpan out);
void read_transposed_slice(const StoredMatrix& matrix, const Slice& slice, HostSpan out);

// `count` numbers of any type but f8 as doubles; of an integer type as integers.
void read_doubles(const ByteSource& bytes, int64_t offset, StoredType type, int64_t count,
                  double* out);
void read_integers(const ByteSource& bytes, int64_t offset, StoredType type, int64_t count,
                   int64_t* out);

}  // namespace tplab
