// The meta.pkl of a nanoGPT data set: what its tokens are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/files/bytes.h"

namespace tplab {

// What a data set says of its tokens.
struct NanogptMeta {
  int64_t vocab_size = 0;               // of the model; may be more than the characters
  std::vector<std::string> characters;  // by token id; each one code point in UTF-8, all different;
                                        // empty where the tokens are something else
  std::string note;                     // why there are no characters; empty where there are
};

// meta.pkl: a dict with vocab_size, itos and stoi, which must agree where they are there; nanoGPT's
// train.py asks for the first alone. Throws Error(bad_file).
NanogptMeta read_nanogpt_meta(const std::string& path);
NanogptMeta read_nanogpt_meta(const ByteSource& file);

}  // namespace tplab
