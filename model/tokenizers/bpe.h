// GPT-2's tokenizer: byte-level byte-pair encoding (Radford et al. 2019; Sennrich et al. 2016).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizers/bpe_files.h"
#include "model/tokenizers/pretokenizer.h"
#include "model/tokenizers/tokenizer.h"

namespace tplab {

// Where a tokenizer's two files are. Empty where it was not read from files.
struct BpePaths {
  std::filesystem::path vocab, merges;
};

// Text is cut into words; a word starts as its bytes, one token each, and the pair of neighbours
// that comes first in the list of merges is merged until no pair is in the list.
class BpeTokenizer final : public Tokenizer {
 public:
  // `path` is a folder with vocab.json and merges.txt, or encoder.json and vocab.bpe as OpenAI
  // named them, or any one of these files; its partner is then looked for beside it. Throws
  // Error(bad_file).
  static BpeTokenizer load(const std::filesystem::path& path);

  // From tables that parse_bpe has checked; `origin` is for description().
  BpeTokenizer(BpeTables tables, std::string origin, BpePaths paths = {});

  std::optional<int> end_of_text() const override { return end_of_text_; }
  std::string description() const override;
  const BpePaths& paths() const { return paths_; }

 private:
  std::vector<int> encode_utf8(std::string_view text, SpecialTokens special) const override;

  std::array<int, 256> byte_ids_;
  std::unordered_map<uint64_t, BpeMerge> merges_;
  std::optional<int> end_of_text_;
  Pretokenizer pretokenizer_;
  std::string origin_;
  BpePaths paths_;
};

}  // namespace tplab
