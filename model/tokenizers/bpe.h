// Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), as
// GPT-2 has it and many after it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizers/bpe_tables.h"
#include "model/tokenizers/pretokenizer.h"
#include "model/tokenizers/tokenizer.h"

namespace tplab {

// Text is cut into words; a word starts as its bytes, one token each, and the pair of neighbours
// that comes first in the list of merges is merged until no pair is in the list. Added tokens are
// taken out of the text first.
class BpeTokenizer final : public Tokenizer {
 public:
  // `path` is a folder with tokenizer.json, or vocab.json and merges.txt, or encoder.json and
  // vocab.bpe as OpenAI named them, or any one of these files; its partner is then looked for
  // beside it, as are added_tokens.json, special_tokens_map.json and tokenizer_config.json. Throws
  // Error(bad_file), and Error(unavailable) for a kind of tokenizer.json that is not read.
  static BpeTokenizer load(const std::filesystem::path& path);

  // `origin` is for description(); `files`: what the tables were read from, the vocabulary first.
  BpeTokenizer(BpeTables tables, std::string origin, std::vector<std::filesystem::path> files = {});

  std::optional<int> start_of_text() const override { return start_of_text_; }
  std::optional<int> end_of_text() const override { return end_of_text_; }
  std::string description() const override;
  std::span<const AddedToken> added_tokens() const override { return added_.list(); }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::vector<std::filesystem::path>& files() const { return files_; }
  // The one that load() finds the others by; empty where there is none.
  std::filesystem::path path() const { return files_.empty() ? "" : files_[0]; }

 private:
  std::vector<int> encode_utf8(std::string_view text, SpecialTokens special) const override;

  void check_bytes(std::string_view stretch, std::string_view text) const;
  std::optional<int> id_of(const std::string& content) const;  // of an added token

  std::array<int, 256> byte_ids_;
  std::unordered_map<uint64_t, BpeMerge> merges_;
  std::unordered_map<std::string_view, int> whole_words_;  // only where merges may be ignored
  AddedTokens added_;
  BpeOptions options_;
  std::optional<int> start_of_text_, end_of_text_;
  Pretokenizer pretokenizer_;
  std::string origin_;
  std::vector<std::filesystem::path> files_;
  std::vector<std::string> notes_;
};

}  // namespace tplab
