// Finds and opens the tokenizer that belongs to a model, whichever kind it is.
#pragma once

#include <memory>
#include <string>

#include "model/tokenizers/tokenizer.h"

namespace tplab {

// What is at `path`: a meta.pkl (nanoGPT's characters), a folder that has one, a folder with
// tokenizer.json or GPT-2's two files, or one of them, or tplab's own checkpoint (the folder of
// one), which holds its own. Decided by what is there, not by the file's name. Throws
// Error(bad_file) that says what is accepted.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// A checkpoint of tplab's that holds its tokenizer; of any other, its folder if that holds a
// tokenizer's files.
// Throws Error(usage) that says where it looked and how to name another place.
std::string find_tokenizer(const std::string& checkpoint);

}  // namespace tplab
