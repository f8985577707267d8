#include "model/tokenizers/load.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "model/checkpoints/bytes.h"
#include "model/checkpoints/nanogpt.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/characters.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCharacters = "meta.pkl";
constexpr std::array kBpeFiles = {"vocab.json", "merges.txt", "encoder.json", "vocab.bpe"};
constexpr const char* kAccepted =
    "give a folder with vocab.json and merges.txt (or encoder.json and vocab.bpe), or the meta.pkl "
    "of a nanoGPT character data set";

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
  return first == '\x80' || fs::path(path).extension() == ".pkl";
}

std::unique_ptr<Tokenizer> load_characters(const std::string& path) {
  return std::make_unique<CharacterTokenizer>(read_nanogpt_meta(path).characters, path);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  if (!may_exist(path)) fail_file(path, "no such file or folder", kAccepted);
  if (is_folder(path)) {
    const std::string meta = (fs::path(path) / kCharacters).string();
    if (may_exist(meta)) return load_characters(meta);
    if (!has_bpe_files(path)) fail_file(path, "is a folder without a tokenizer", kAccepted);
  } else if (is_pickle(path)) {
    return load_characters(path);
  }
  return std::make_unique<BpeTokenizer>(BpeTokenizer::load(path));
}

std::string find_tokenizer(const std::string& checkpoint) {
  fs::path folder =
      is_folder(checkpoint) ? fs::path(checkpoint) : fs::path(checkpoint).parent_path();
  if (folder.empty()) folder = ".";
  if (may_exist((folder / kCharacters).string()) || has_bpe_files(folder)) return folder.string();
  fail(
      fmt::format("{}: there is no tokenizer beside the checkpoint: {} has neither {} nor "
                  "vocab.json and merges.txt nor encoder.json and vocab.bpe",
                  checkpoint, folder.string(), kCharacters),
      "name one with --tokenizer PATH (nanoGPT leaves meta.pkl in data/DATASET/; models trained on "
      "GPT-2's tokens use GPT-2's folder), or give token ids with --tokens 1,2,3");
}

}  // namespace tplab
