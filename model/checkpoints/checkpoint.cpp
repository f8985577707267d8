#include "model/checkpoints/checkpoint.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "model/checkpoints/bytes.h"
#include "model/checkpoints/huggingface.h"
#include "model/checkpoints/nanogpt.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAccepted =
    "give a nanoGPT ckpt.pt, a ckpt.safetensors of tplab train, a folder that has one, or a "
    "Hugging "
    "Face GPT-2 folder (config.json and model.safetensors)";

std::unique_ptr<WeightSource> open_folder(const fs::path& folder) {
  if (may_exist(folder / "config.json")) return open_huggingface(folder.string());
  if (may_exist(folder / "ckpt.pt")) return open_nanogpt((folder / "ckpt.pt").string());
  fail_file(folder.string(),
            "is a folder with neither config.json nor ckpt.pt nor ckpt.safetensors", kAccepted);
}

std::unique_ptr<WeightSource> open_single_file(const std::string& path) {
  const auto file = open_file(path);
  if (file->size() == 0) fail_file(path, "is empty", kAccepted);
  const fs::path ending = fs::path(path).extension();
  if (ending == ".safetensors" || ending == ".json")  // whatever its length begins with
    fail_file(path, "is one file of a Hugging Face folder, or damaged",
              "give the folder that it is in, or the file as it was written");
  std::array<char, 2> begin = {};
  file->read(0, begin.data(), std::min<int64_t>(file->size(), 2));
  const bool is_zip = begin == std::array{'P', 'K'}, is_pickle = begin[0] == '\x80';
  if (is_zip || is_pickle) return open_nanogpt(file);  // which explains old pickles
  fail_file(path, "is no checkpoint that tplab knows", kAccepted);
}

}  // namespace

std::unique_ptr<WeightSource> open_checkpoint(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) fail_file(path, "does not exist", kAccepted);
  if (error) fail_file(path, "cannot be opened: " + error.message(), kAccepted);
  if (const auto own = find_tplab_checkpoint(path)) return std::make_unique<TplabCheckpoint>(*own);
  return fs::is_directory(status) ? open_folder(path) : open_single_file(path);
}

}  // namespace tplab
