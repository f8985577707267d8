#include "model/checkpoints/nanogpt.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "model/checkpoints/file_weights.h"
#include "model/checkpoints/nanogpt_state.h"
#include "model/checkpoints/pickle.h"
#include "model/checkpoints/zip_file.h"
#include "sim/error.h"

namespace tplab {
namespace {

constexpr int64_t kMostPickleBytes = int64_t{16} << 20;  // nanoGPT's gpt2-xl needs under 1 MiB

constexpr const char* kSaveAgain =
    "open it where PyTorch is and save it again: torch.save(torch.load('ckpt.pt'), 'new.pt')";

// "ckpt/" where the zip has ckpt/data.pkl: torch.save puts everything into one folder.
std::string find_folder(const ZipFile& zip, const std::string& path) {
  constexpr std::string_view kPickle = "data.pkl";
  std::optional<std::string> folder;
  for (const auto& [name, entry] : zip.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash + 1) != kPickle) continue;
    if (folder) fail_file(path, "has more than one data.pkl", kSaveAgain);
    folder = name.substr(0, slash + 1);
  }
  if (!folder) {
    fail_file(path, "is a zip file without data.pkl, so torch.save did not write it",
              "give a nanoGPT ckpt.pt");
  }
  return *folder;
}

void check_byte_order(ZipFile& zip, const std::string& name, const std::string& path) {
  if (!zip.find(name) || zip.read(name, 64) == "little") return;
  fail_file(path, "its numbers are big-endian", "save it on a little-endian machine");
}

void refuse_other_files(const ByteSource& file) {
  char begin[2] = {};
  file.read(0, begin, std::min<int64_t>(file.size(), 2));
  if (begin[0] == 'P' && begin[1] == 'K') return;
  if (begin[0] == '\x80') {
    fail_file(file.name(), "is a pickle, as PyTorch before 1.6 saved, not a zip file", kSaveAgain);
  }
  fail_file(file.name(), "is not a zip file, so torch.save did not write it",
            "give a nanoGPT ckpt.pt");
}

}  // namespace

std::unique_ptr<WeightSource> open_nanogpt(const std::string& path) {
  return open_nanogpt(open_file(path));
}

std::unique_ptr<WeightSource> open_nanogpt(const std::shared_ptr<const ByteSource>& file) {
  const std::string& path = file->name();
  refuse_other_files(*file);
  ZipFile zip(file);
  const std::string folder = find_folder(zip, path);
  check_byte_order(zip, folder + "byteorder", path);
  const NanoGptState state = read_nanogpt_state(
      pickle::Document(zip.read(folder + "data.pkl", kMostPickleBytes), path), path);

  FileTensors tensors;
  for (const auto& [name, tensor] : state.tensors) {
    const std::string entry_name = folder + "data/" + tensor.storage;
    const ZipEntry* entry = zip.find(entry_name);
    const int64_t needed = tensor.end * row_of(tensor.type).size_bytes;
    if (!entry || entry->size < needed) {
      fail_file(
          path,
          fmt::format("tensor {} needs {} bytes of zip entry {}, which has {}", in_quotes(name),
                      needed, in_quotes(entry_name), entry ? entry->size : 0),
          "the file is truncated or corrupt: download or copy it again");
    }
    tensors[name] = {
        .bytes = file,
        .offset = zip.offset_of(entry_name) + tensor.begin * row_of(tensor.type).size_bytes,
        .type = tensor.type,
        .shape = tensor.shape};
  }

  // nanoGPT ties the head, but a copy may have been saved. Only if it differs is it a head.
  GptConfig config = state.config;
  const auto head = tensors.find("lm_head.weight"), wte = tensors.find("transformer.wte.weight");
  config.tied_head =
      head == tensors.end() || (wte != tensors.end() && are_equal(head->second, wte->second));
  if (config.tied_head && head != tensors.end()) tensors.erase(head);

  std::string description = "nanoGPT checkpoint " + path;
  if (state.iteration) description += fmt::format(", iteration {}", *state.iteration);
  return make_file_weights(config, std::move(tensors), path, description);
}

}  // namespace tplab
