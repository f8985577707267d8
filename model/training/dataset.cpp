// Texts and nanoGPT's token files are checked completely before a step is taken.
#include "model/training/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "model/checkpoints/nanogpt.h"
#include "model/tokenizers/characters.h"
#include "sim/error.h"
#include "sim/random.h"
#include "sim/utf8.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

void check_utf8(std::string_view text, const std::string& origin) {
  const size_t bad = utf8::first_invalid(text);
  if (bad == std::string_view::npos) return;
  fail_file(origin,
            fmt::format("is not UTF-8 text: byte {} (0x{:02X}) begins no character", bad,
                        static_cast<unsigned char>(text[bad])),
            "convert it first, for example: iconv -f LATIN1 -t UTF-8 FILE");
}

// The text's characters, in the order of their code points, which UTF-8's bytes sort by too.
std::shared_ptr<const Tokenizer> characters_of(std::string_view text, const std::string& origin) {
  std::set<std::string_view> different;
  for (size_t at = 0; at < text.size();) {
    const std::string_view character = text.substr(at, utf8::character_length(text, at));
    different.insert(character);
    at += character.size();
  }
  if (different.size() == 1) {
    fail_file(origin,
              fmt::format("is {} and nothing else: there is nothing to learn",
                          utf8::quoted(*different.begin())),
              "give a text with at least two different characters");
  }
  return std::make_shared<CharacterTokenizer>(
      std::vector<std::string>(different.begin(), different.end()), "the characters of " + origin);
}

// The byte at which the last 10 % of the characters begin: int(0.9 n), as Python computes it.
size_t end_of_train(std::string_view text) {
  const auto is_first = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  const auto n_characters = std::count_if(text.begin(), text.end(), is_first);
  const auto n_train = static_cast<int64_t>(0.9 * static_cast<double>(n_characters));
  int64_t seen = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (is_first(text[at]) && seen++ == n_train) return at;
  }
  return text.size();
}

TokenList encode(const Tokenizer& tokenizer, std::string_view text, const std::string& where) {
  try {
    return TokenList(tokenizer.encode(text));
  } catch (const Error& error) {  // a character that the vocabulary has not
    fail_file(where, error.problem(), error.fix());
  }
}

void check_length(const Dataset& data, const std::string& origin, int64_t block_size) {
  for (const Part part : {Part::train, Part::val}) {
    const int64_t size = data.part(part).size();
    if (size > block_size) continue;
    fail_file(origin,
              fmt::format("its part to {} has {} tokens, and a block of {} needs {}",
                          part == Part::train ? "learn (train)" : "be tested on (val)", size,
                          block_size, block_size + 1),
              size < 2 ? "give a longer text"
                       : fmt::format("give a longer text, or a block of at most {}", size - 1));
  }
}

std::string describe(const Dataset& data, const std::string& origin) {
  return fmt::format("{}: {} + {} tokens, {}", printable_line(origin), data.train.size(),
                     data.val.size(),
                     data.tokenizer ? data.tokenizer->description()
                                    : fmt::format("a vocabulary of {}", data.vocab_size));
}

// nanoGPT's folder: data/shakespeare_char, once prepare.py has run.
Dataset open_token_files(const fs::path& folder, const DatasetOptions& options) {
  Dataset data;
  data.tokenizer = options.tokenizer;
  const std::string meta = (folder / "meta.pkl").string();
  if (!data.tokenizer && may_exist(meta)) {
    data.tokenizer = std::make_shared<CharacterTokenizer>(read_nanogpt_meta(meta).characters, meta);
  }
  data.vocab_size = data.tokenizer ? data.tokenizer->vocab_size() : options.vocab_size;
  data.train = TokenList(open_file((folder / "train.bin").string()), data.vocab_size);
  data.val = TokenList(open_file((folder / "val.bin").string()), data.vocab_size);
  check_length(data, folder.string(), options.block_size);
  data.description = describe(data, folder.string());
  return data;
}

}  // namespace

std::string_view name(Part part) { return part == Part::train ? "train" : "val"; }

Dataset dataset_of_text(std::string_view text, const std::string& origin,
                        const DatasetOptions& options) {
  if (text.empty()) fail_file(origin, "is empty", "give a text to learn");
  check_utf8(text, origin);
  Dataset data;
  data.tokenizer = options.tokenizer ? options.tokenizer : characters_of(text, origin);
  data.vocab_size = data.tokenizer->vocab_size();
  const size_t split = end_of_train(text);
  data.train = encode(*data.tokenizer, text.substr(0, split), origin);
  data.val = encode(*data.tokenizer, text.substr(split), origin + ", in its last 10 %");
  check_length(data, origin, options.block_size);
  data.description = describe(data, origin);
  return data;
}

Dataset open_dataset(const std::string& path, const DatasetOptions& options) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (may_exist((fs::path(path) / "train.bin").string())) return open_token_files(path, options);
    fail_file(path, "is a folder without train.bin",
              "give a text file, or a folder with nanoGPT's train.bin and val.bin");
  }
  constexpr int64_t kMostBytes = int64_t{2} << 30;  // tokenized in memory
  return dataset_of_text(read_all(*open_file(path), kMostBytes), path, options);
}

Batch sample(const Dataset& data, Part part, int64_t step, Range sequences, int64_t T,
             uint64_t seed) {
  const TokenList& tokens = data.part(part);
  const int64_t n_starts = tokens.size() - T;  // y needs one token more than x
  const RandomStream stream(seed, fmt::format("batch {} of {}", step, name(part)));
  Batch batch{.x = {sequences.size(), T, {}}, .y = {sequences.size(), T, {}}};
  batch.x.ids.reserve(static_cast<size_t>(sequences.size() * T));
  batch.y.ids.reserve(static_cast<size_t>(sequences.size() * T));
  std::vector<int32_t> block(static_cast<size_t>(T + 1));
  for (int64_t i = sequences.begin; i < sequences.end; ++i) {
    const double uniform = stream.uniform(static_cast<uint64_t>(i));
    const auto start = static_cast<int64_t>(uniform * static_cast<double>(n_starts));
    tokens.read(start, T + 1, block.data());
    batch.x.ids.insert(batch.x.ids.end(), block.begin(), block.end() - 1);
    batch.y.ids.insert(batch.y.ids.end(), block.begin() + 1, block.end());
  }
  return batch;
}

}  // namespace tplab
