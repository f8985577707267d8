#include "model/checkpoints/checkpoint.h"

#include <filesystem>
#include <system_error>

#include "model/checkpoints/huggingface.h"
#include "model/checkpoints/nanogpt.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/files/bytes.h"
#include "model/files/file_kind.h"
#include "model/files/safetensors.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAccepted =
    "give a nanoGPT ckpt.pt, a ckpt.safetensors of tplab train, a folder that has one, or a "
    "Hugging Face GPT-2 folder (config.json and model.safetensors)";

// TensorFlow's own format, as OpenAI published GPT-2: model.ckpt.index, .meta,
// .data-00000-of-00001, and a text named checkpoint. Its files say nothing by their first bytes.
bool is_tensorflow(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.find(".ckpt.") != name.npos || name.find(".data-00000-of-") != name.npos ||
         may_exist(path.string() + ".index") ||
         (name == "checkpoint" &&
          begin_of(*open_file(path.string()), 22) == "model_checkpoint_path:");
}

[[noreturn]] void refuse_tensorflow(const fs::path& path) {
  fail_file(path.string(), "is a TensorFlow checkpoint",
            "convert it where Python is (transformers-cli convert --model_type gpt2), or take the "
            "same model as a Hugging Face folder");
}

std::unique_ptr<WeightSource> open_folder(const fs::path& folder) {
  if (may_exist(folder / "config.json")) return open_huggingface(folder.string());
  if (may_exist(folder / "ckpt.pt")) return open_nanogpt((folder / "ckpt.pt").string());
  if (may_exist(folder / "model.ckpt.index")) refuse_tensorflow(folder / "model.ckpt");
  fail_file(folder.string(),
            "is a folder with neither config.json nor ckpt.pt nor ckpt.safetensors", kAccepted);
}

std::unique_ptr<WeightSource> open_single_file(const std::string& path) {
  const auto file = open_file(path);
  if (file->size() == 0) fail_file(path, "is empty", kAccepted);
  const std::string begin = begin_of(*file, 2), ending = fs::path(path).extension();
  const bool is_safetensors = ending == ".safetensors";  // whatever its length begins with
  if (begin == "PK" || (begin.starts_with('\x80') && !is_safetensors))
    return open_nanogpt(file);  // which explains old pickles
  refuse_other_kind(*file);
  if (is_safetensors) static_cast<void>(SafetensorsFile(file));  // says what is wrong with it
  if (is_safetensors || ending == ".json" || ending == ".bin")
    fail_file(path, "is one file of a Hugging Face folder", "give the folder that it is in");
  if (is_tensorflow(path)) refuse_tensorflow(path);
  fail_file(path, "is no checkpoint that tplab knows", kAccepted);
}

}  // namespace

std::unique_ptr<WeightSource> open_checkpoint(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!may_exist(path)) fail_file(path, "does not exist", kAccepted);
  if (status.type() == fs::file_type::not_found)
    static_cast<void>(open_file(path));  // a link: says so
  if (error) fail_file(path, "cannot be opened: " + error.message(), kAccepted);
  if (const auto own = find_tplab_checkpoint(path)) return std::make_unique<TplabCheckpoint>(*own);
  return fs::is_directory(status) ? open_folder(path) : open_single_file(path);
}

}  // namespace tplab
