// Hugging Face's tokenizer.json: a whole tokenizer in one file, of many kinds, of which tplab reads
// byte-level BPE.
#pragma once

#include <string>
#include <string_view>

#include "model/tokenizers/bpe_tables.h"

namespace tplab {

// What is read: model BPE; no normalizer; pre-tokenizers ByteLevel, Digits, and Split by the
// expressions in pretokenizer.cpp; added tokens with all their switches. Throws Error(bad_file) for
// a damaged file, and Error(unavailable) that names the part which tplab does not know.
//   source: the tokenizers library, 0.23
WrittenBpe read_tokenizer_json(std::string_view text, const std::string& name);

}  // namespace tplab
