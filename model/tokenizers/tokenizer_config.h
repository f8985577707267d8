// What lies beside a tokenizer's vocabulary: its added tokens and their roles.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "model/tokenizers/bpe_tables.h"

namespace tplab {

// {"id": 320, "content": "<USER>", "special": true, "lstrip": false, ...}.
// These all throw Error(bad_file) that begins with the file's name.
AddedToken read_added_token(const nlohmann::json& entry, const std::string& name);

// Adds the token unless it is there; then it is special if either is.
void add_token(const AddedToken& token, WrittenBpe& written);

// added_tokens.json: {"<USER>": 320}.
void read_added_tokens(std::string_view text, const std::string& name, WrittenBpe& written);

// tokenizer_config.json or special_tokens_map.json: "added_tokens_decoder", "add_prefix_space",
// and which tokens are special, where they end a text ("eos_token") or begin one.
void read_tokenizer_config(std::string_view text, const std::string& name, WrittenBpe& written);

}  // namespace tplab
