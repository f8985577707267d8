// Tokenizers as checkpoints keep them: a line of JSON, or a vocab.json of characters.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizers/tokenizer.h"

namespace tplab {

// {"kind":"characters","characters":["\n"," ",...]};
// {"kind":"gpt2","path":"/where/its/vocab.json","way":"../vocab.json"}, since its files are large
// and seldom the model's own; "way" is from `folder`, where the checkpoint is. "null" for none.
std::string to_saved(const Tokenizer* tokenizer, const std::string& folder);

// Null for "null". `where` is the file that the text is from, which may have moved with its
// tokenizer. Throws Error(bad_file) for any other text, and where GPT-2's files are not at the path
// any more.
std::unique_ptr<Tokenizer> from_saved(std::string_view text, const std::string& where);

// {"\n": 0, " ": 1, ...}: a vocab.json, without the merges.txt that GPT-2's has.
std::string to_character_vocab(const std::vector<std::string>& characters);

// The characters by id, or nothing where a key is more than one character, as in GPT-2's. Throws
// Error(bad_file), which begins with `path`, unless it is one object and the ids are 0, 1, 2, ...
std::optional<std::vector<std::string>> from_character_vocab(std::string_view text,
                                                             const std::string& path);

}  // namespace tplab
