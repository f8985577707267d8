// GPT-2's two tokenizer files as text, and what tokenizer.json has of them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "model/tokenizers/bpe_tables.h"

namespace tplab {

// vocab: {"!": 0, "\u0120t": 256, ...}. merges: one pair a line, "\u0120 t", earliest first, after
// an optional line "#version: 0.2". Both write bytes as byte_alphabet.h says. The names are for
// messages. Throws Error(bad_file).
WrittenBpe read_bpe(std::string_view vocab, const std::string& vocab_name, std::string_view merges,
                    const std::string& merges_name);

// The same, checked and turned into tables.
inline BpeTables parse_bpe(std::string_view vocab, const std::string& vocab_name,
                           std::string_view merges, const std::string& merges_name) {
  return make_tables(read_bpe(vocab, vocab_name, merges, merges_name));
}

// Into written.vocab and at the end of written.merges. Throw Error(bad_file).
void read_vocab(const nlohmann::json& object, WrittenBpe& written);
void read_merge(std::string_view pair, size_t number, WrittenBpe& written);

}  // namespace tplab
