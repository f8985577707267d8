// The table of number formats; slices of them are in stored.cpp.
#include "model/files/stored.h"

namespace tplab {

const std::vector<StoredTypeRow>& stored_types() {
  static const std::vector<StoredTypeRow> table = {
      {StoredType::f64, 8, "f64", "F64", "DoubleStorage"},
      {StoredType::f32, 4, "f32", "F32", "FloatStorage"},
      {StoredType::f16, 2, "f16", "F16", "HalfStorage"},
      {StoredType::bf16, 2, "bf16", "BF16", "BFloat16Storage"},
      {StoredType::i64, 8, "i64", "I64", "LongStorage"},
      {StoredType::i32, 4, "i32", "I32", "IntStorage"},
      {StoredType::i16, 2, "i16", "I16", "ShortStorage"},
      {StoredType::i8, 1, "i8", "I8", "CharStorage"},
      {StoredType::u64, 8, "u64", "U64", ""},
      {StoredType::u32, 4, "u32", "U32", ""},
      {StoredType::u16, 2, "u16", "U16", ""},
      {StoredType::u8, 1, "u8", "U8", "ByteStorage"},
      {StoredType::boolean, 1, "bool", "BOOL", "BoolStorage"},
      {StoredType::f8, 1, "f8", "F8_E4M3", ""},
      {StoredType::f8, 1, "f8", "F8_E5M2", ""},
      {StoredType::f8, 1, "f8", "F8_E4M3FNUZ", ""},
      {StoredType::f8, 1, "f8", "F8_E5M2FNUZ", ""},
      {StoredType::f8, 1, "f8", "F8_E8M0", ""},
  };
  return table;
}

const StoredTypeRow& row_of(StoredType type) {
  for (const StoredTypeRow& row : stored_types()) {
    if (row.type == type) return row;
  }
  return stored_types().back();  // every type has a row
}

bool is_weight_type(StoredType type) {
  return type == StoredType::f64 || type == StoredType::f32 || type == StoredType::f16 ||
         type == StoredType::bf16;
}

}  // namespace tplab
