// Finds and opens a tokenizer in files, whichever kind it is.
#pragma once

#include <memory>
#include <string>

#include "model/tokenizers/tokenizer.h"

namespace tplab {

inline constexpr const char* kTokenizersAccepted =
    "give a folder with tokenizer.json, with vocab.json and merges.txt (or encoder.json and "
    "vocab.bpe), the meta.pkl of a nanoGPT character data set, or a checkpoint of tplab train";

// What is at `path`: a meta.pkl (nanoGPT's characters), a folder that has one, a folder with
// tokenizer.json or GPT-2's two files, or one of them. Decided by what is there, not by the file's
// name. Throws Error(bad_file) that says what is accepted.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// The folder of a checkpoint, if it holds a tokenizer's files.
// Throws Error(usage) that says where it looked and how to name another place.
std::string find_tokenizer_beside(const std::string& checkpoint);

}  // namespace tplab
