#include "model/checkpoints/own_tokenizer.h"

#include <filesystem>

#include "model/checkpoints/tplab_checkpoint.h"
#include "model/files/bytes.h"
#include "model/tokenizers/load.h"
#include "sim/error.h"

namespace tplab {

std::unique_ptr<Tokenizer> open_tokenizer_at(const std::string& path) {
  if (!may_exist(path)) return load_tokenizer(path);  // which says so
  if (const auto checkpoint = find_tplab_checkpoint(path)) {
    if (auto tokenizer = TplabCheckpoint(*checkpoint).tokenizer()) return tokenizer;
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored))
      fail_file(path, "is a checkpoint without a tokenizer", kTokenizersAccepted);
  }
  return load_tokenizer(path);
}

std::string find_tokenizer(const std::string& checkpoint) {
  const auto own = find_tplab_checkpoint(checkpoint);
  if (own && TplabCheckpoint(*own).has_tokenizer()) return *own;
  return find_tokenizer_beside(checkpoint);
}

}  // namespace tplab
