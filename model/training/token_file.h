// What numbers a file of token ids is made of, told from the numbers themselves.
#pragma once

#include "model/training/token_list.h"

namespace tplab {

// Reads the file once. With a width it is only checked. Throws Error(bad_file).
IdWidth find_id_width(const ByteSource& file, int64_t vocab_size, IdWidth width);

// An id outside the vocabulary, the number'th from 0.
[[noreturn]] void refuse_id(const ByteSource& file, int64_t vocab_size, uint64_t id,
                            int64_t number);

}  // namespace tplab
