// Texts and nanoGPT's token files are checked completely before a step is taken.
#include "model/training/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "model/files/not_text.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/nanogpt_meta.h"
#include "sim/error.h"
#include "sim/random.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

void check_is_text(std::string_view text, const std::string& origin) {
  if (const auto found = not_text(text)) fail_file(origin, found->what, found->fix);
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

// The same byte, or the end of a special token that it would cut in two.
size_t outside_of_tokens(std::string_view text, size_t split, const Tokenizer& tokenizer) {
  for (const AddedToken& token : tokenizer.added_tokens()) {
    const std::string& content = token.content;
    const size_t begin = split - std::min(split, content.size() - 1);
    const size_t found = text.substr(begin, split - begin + content.size() - 1).find(content);
    if (found != std::string_view::npos) return begin + found + content.size();
  }
  return split;
}

std::vector<int> encode(const Tokenizer& tokenizer, std::string_view text, SpecialTokens special,
                        const std::string& where) {
  try {
    return tokenizer.encode(text, special);
  } catch (const Error& error) {  // a character that the vocabulary has not
    fail_file(where, error.problem(), error.fix());
  }
}

// How often each token that was written out was read as one: "118 <|endoftext|>, 2 <USER>".
void note_special_tokens(const std::vector<int>& train, const std::vector<int>& val,
                         Dataset& data) {
  std::vector<int64_t> times(static_cast<size_t>(data.tokenizer->vocab_size()));
  for (const std::vector<int>* part : {&train, &val})
    for (const int id : *part) ++times[static_cast<size_t>(id)];
  std::string counts;
  for (const AddedToken& token : data.tokenizer->added_tokens()) {
    const int64_t n = times[static_cast<size_t>(token.id)];
    if (n > 0) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", n, token.content);
  }
  if (!counts.empty()) data.notes.push_back("special tokens in the text: " + counts);
}

void note_line_ends(std::string_view text, const std::string& origin, Dataset& data) {
  if (text.find("\r\n") == std::string_view::npos) return;
  data.notes.push_back(fmt::format(
      "{}: its lines end in \\r\\n, as on Windows; both characters are learned", origin));
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
  return fmt::format("{}: {} tokens to learn and {} to test, {}", printable_line(origin),
                     data.train.size(), data.val.size(),
                     data.tokenizer ? data.tokenizer->description()
                                    : fmt::format("a vocabulary of {}", data.vocab_size));
}

// The meta.pkl beside token files, where there is one.
void read_meta(const std::string& path, Dataset& data) {
  if (!may_exist(path)) return;
  NanogptMeta meta = read_nanogpt_meta(path);
  data.vocab_size = meta.vocab_size;
  if (!meta.note.empty()) data.notes.push_back(meta.note);
  if (!meta.characters.empty())
    data.tokenizer = std::make_shared<CharacterTokenizer>(std::move(meta.characters), path);
}

// nanoGPT's folder: data/shakespeare_char, once prepare.py has run.
Dataset open_token_files(const fs::path& folder, const DatasetOptions& options) {
  Dataset data;
  data.tokenizer = options.tokenizer;
  data.vocab_size = data.tokenizer ? data.tokenizer->vocab_size() : options.vocab_size;
  if (!data.tokenizer) read_meta((folder / "meta.pkl").string(), data);
  const auto open = [&](const char* name) {
    const std::string path = (folder / name).string();
    TokenList ids(open_file(path), data.vocab_size, options.id_width);
    if (options.id_width == IdWidth::automatic && ids.width() != IdWidth::two)
      data.notes.push_back(fmt::format("{}: read as {} (--data-dtype can say otherwise)", path,
                                       tplab::name(ids.width())));
    return ids;
  };
  data.train = open("train.bin");
  data.val = open("val.bin");
  check_length(data, folder.string(), options.block_size);
  data.description = describe(data, folder.string());
  return data;
}

}  // namespace

std::string_view name(Part part) { return part == Part::train ? "train" : "val"; }

Dataset dataset_of_text(std::string_view text, const std::string& origin,
                        const DatasetOptions& options) {
  check_is_text(text, origin);
  Dataset data;
  if (const size_t mark = utf8::mark_length(text)) {
    text.remove_prefix(mark);
    data.notes.push_back(origin + ": left out the mark of UTF-8 (BOM) at its beginning");
  }
  if (text.empty()) fail_file(origin, "is empty", "give a text to learn");
  if (const auto zeros = std::count(text.begin(), text.end(), '\0'))
    data.notes.push_back(
        fmt::format("{}: {} of its bytes are 0, the first at byte {}: a part of it "
                    "may be UTF-16",
                    origin, zeros, text.find('\0')));
  note_line_ends(text, origin, data);
  data.tokenizer = options.tokenizer ? options.tokenizer : characters_of(text, origin);
  data.vocab_size = data.tokenizer->vocab_size();
  size_t split = end_of_train(text);
  if (options.special == SpecialTokens::allow)
    split = outside_of_tokens(text, split, *data.tokenizer);
  std::vector<int> train = encode(*data.tokenizer, text.substr(0, split), options.special, origin);
  std::vector<int> val =
      encode(*data.tokenizer, text.substr(split), options.special, origin + ", in its last 10 %");
  note_special_tokens(train, val, data);
  data.train = TokenList(std::move(train));
  data.val = TokenList(std::move(val));
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
