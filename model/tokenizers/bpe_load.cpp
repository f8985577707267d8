// Finds a tokenizer's files and puts together what they say.
#include <fmt/format.h>

#include "model/files/bytes.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/bpe_files.h"
#include "model/tokenizers/tokenizer_config.h"
#include "model/tokenizers/tokenizer_json.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWhole = "tokenizer.json";
constexpr const char* kLoadFix =
    "give a folder with tokenizer.json, with vocab.json and merges.txt, or with encoder.json and "
    "vocab.bpe";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// One file, or a vocabulary and its merges.
std::vector<fs::path> find_files(const fs::path& path) {
  static const std::vector<fs::path> kKinds[] = {
      {kWhole}, {"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}};
  std::error_code ignored;
  const bool is_folder = fs::is_directory(path, ignored);
  if (!is_folder && !is_file(path)) fail_file(path.string(), "no such file or folder", kLoadFix);

  const fs::path folder = is_folder ? path : path.parent_path();
  std::string missing;
  for (const std::vector<fs::path>& names : kKinds) {
    std::vector<fs::path> found;
    bool is_meant = is_folder;
    for (const fs::path& name : names) {
      is_meant = is_meant || path.filename() == name;
      if (is_file(folder / name)) found.push_back(folder / name);
    }
    if (!is_meant || found.empty()) continue;
    if (found.size() == names.size()) return found;
    missing = (found[0].filename() == names[0] ? names[1] : names[0]).string();
  }
  if (!missing.empty()) {
    fail_file(path.string(), fmt::format("{} is missing: such a tokenizer is two files", missing),
              kLoadFix);
  }
  if (!is_folder && path.extension() == ".json") return {path};  // a tokenizer.json, renamed
  fail_file(path.string(), "holds no GPT-2 tokenizer", kLoadFix);
}

std::string read_file(const fs::path& path) {
  constexpr int64_t kMost = 256 << 20;  // 250 times GPT-2's
  return read_all(*open_file(path.string()), kMost);
}

}  // namespace

BpeTokenizer BpeTokenizer::load(const fs::path& path) {
  std::vector<fs::path> files = find_files(path);
  const std::string first = files[0].string();
  WrittenBpe written = files.size() == 1 ? read_tokenizer_json(read_file(files[0]), first)
                                         : read_bpe(read_file(files[0]), first, read_file(files[1]),
                                                    files[1].string());
  const auto read_beside = [&](const char* name, auto reader) {
    const fs::path beside = files[0].parent_path() / name;
    if (!is_file(beside)) return;
    reader(read_file(beside), beside.string(), written);
    files.push_back(beside);
  };
  read_beside("tokenizer_config.json", read_tokenizer_config);
  read_beside("special_tokens_map.json", read_tokenizer_config);
  read_beside("added_tokens.json", read_added_tokens);
  return {make_tables(std::move(written)), first, std::move(files)};
}

}  // namespace tplab
