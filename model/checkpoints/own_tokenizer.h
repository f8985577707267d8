// The tokenizer that belongs to a model: its checkpoint's own, or one in files.
#pragma once

#include <memory>
#include <string>

#include "model/tokenizers/tokenizer.h"

namespace tplab {

// What is at `path`: tplab's own checkpoint (the folder of one), which holds its own, or what
// load_tokenizer (model/tokenizers/load.h) reads. Decided by what is there, not by the file's name.
// Throws Error(bad_file) that says what is accepted.
std::unique_ptr<Tokenizer> open_tokenizer_at(const std::string& path);

// A checkpoint of tplab's that holds its tokenizer; of any other, its folder if that holds a
// tokenizer's files.
// Throws Error(usage) that says where it looked and how to name another place.
std::string find_tokenizer(const std::string& checkpoint);

}  // namespace tplab
