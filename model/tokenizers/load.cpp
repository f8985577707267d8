#include "model/tokenizers/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "model/files/bytes.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/nanogpt_meta.h"
#include "model/tokenizers/saved.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCharacters = "meta.pkl";
constexpr std::array kBpeFiles = {"tokenizer.json", "vocab.json", "merges.txt", "encoder.json",
                                  "vocab.bpe"};

// Files of tokenizers that are not read, for messages.
constexpr std::array kUnread = {"tokenizer.model", "spiece.model", "vocab.txt"};

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool has_bpe_files(const fs::path& folder) {
  for (const char* name : kBpeFiles) {
    if (may_exist((folder / name).string())) return true;
  }
  return false;
}

// Every pickle that Python 3 writes begins with the byte 0x80.
bool is_pickle(const std::string& path) {
  const auto file = open_file(path);
  char first = 0;
  if (file->size() > 0) file->read(0, &first, 1);
  const fs::path ending = fs::path(path).extension();
  return ending != ".safetensors" && (first == '\x80' || ending == ".pkl");
}

// Null where the meta.pkl has none.
std::unique_ptr<Tokenizer> load_characters(const std::string& path) {
  NanogptMeta meta = read_nanogpt_meta(path);
  if (meta.characters.empty()) return nullptr;
  return std::make_unique<CharacterTokenizer>(std::move(meta.characters), path);
}

[[noreturn]] void refuse_without_characters(const std::string& path) {
  fail_file(path, "says how many tokens there are, and not which",
            "give token ids in place of text, with --tokens 1,2,3, or name another tokenizer with "
            "--tokenizer PATH");
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
  for (const char* name : kUnread) {
    if (!may_exist((folder / name).string())) continue;
    fail_unavailable(fmt::format("{}: its tokenizer is {}, a kind that tplab does not read",
                                 folder.string(), name),
                     "give token ids in place of text, with --tokens 1,2,3");
  }
  fail_file(folder.string(), "is a folder without a tokenizer", kTokenizersAccepted);
}

// The vocab.json of characters that tplab export writes; null where it is not one, or has a
// merges.txt beside it, as GPT-2's.
std::unique_ptr<Tokenizer> load_character_vocab(const fs::path& file) {
  constexpr int64_t kMostBytes = int64_t{64} << 20;
  if (!may_exist(file.string()) || may_exist((file.parent_path() / "merges.txt").string()))
    return nullptr;
  auto characters =
      from_character_vocab(read_all(*open_file(file.string()), kMostBytes), file.string());
  if (!characters) return nullptr;
  return std::make_unique<CharacterTokenizer>(std::move(*characters), file.string());
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  if (!may_exist(path)) fail_file(path, "no such file or folder", kTokenizersAccepted);
  if (is_folder(path)) {
    const std::string meta = (fs::path(path) / kCharacters).string();
    if (may_exist(meta)) {
      if (auto characters = load_characters(meta)) return characters;
      if (!has_bpe_files(path)) refuse_without_characters(meta);
    }
    if (!has_bpe_files(path)) refuse_folder(path);
    const bool is_whole = may_exist((fs::path(path) / "tokenizer.json").string());
    if (is_whole) return std::make_unique<BpeTokenizer>(BpeTokenizer::load(path));
    if (auto characters = load_character_vocab(fs::path(path) / "vocab.json")) return characters;
  } else if (is_pickle(path)) {
    if (auto characters = load_characters(path)) return characters;
    refuse_without_characters(path);
  } else if (fs::path(path).filename() == "vocab.json") {
    if (auto characters = load_character_vocab(path)) return characters;
  } else if (std::find(kBpeFiles.begin(), kBpeFiles.end(), fs::path(path).filename()) ==
                 kBpeFiles.end() &&
             fs::path(path).extension() != ".json") {
    fail_file(path, "is no tokenizer that tplab knows", kTokenizersAccepted);
  }
  return std::make_unique<BpeTokenizer>(BpeTokenizer::load(path));
}

std::string find_tokenizer_beside(const std::string& checkpoint) {
  fs::path folder =
      is_folder(checkpoint) ? fs::path(checkpoint) : fs::path(checkpoint).parent_path();
  if (folder.empty()) folder = ".";
  const std::string meta = (folder / kCharacters).string();
  if (has_bpe_files(folder)) return folder.string();
  if (may_exist(meta)) {
    if (!read_nanogpt_meta(meta).characters.empty()) return folder.string();
    fail(fmt::format("{}: says how many tokens there are, and not which", meta),
         "name a tokenizer with --tokenizer PATH; token ids need none, as in tplab generate "
         "--tokens 1,2,3");
  }
  fail(
      fmt::format("{}: there is no tokenizer beside the checkpoint: {} has no {}, no "
                  "tokenizer.json, nor vocab.json and merges.txt, nor encoder.json and vocab.bpe",
                  checkpoint, folder.string(), kCharacters),
      "name one with --tokenizer PATH (nanoGPT leaves meta.pkl in data/DATASET/; models trained on "
      "GPT-2's tokens use GPT-2's folder); token ids need none, as in tplab generate --tokens "
      "1,2,3");
}

}  // namespace tplab
