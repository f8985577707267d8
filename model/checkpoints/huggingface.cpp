#include "model/checkpoints/huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "model/checkpoints/file_weights.h"
#include "model/checkpoints/safetensors.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostJsonBytes = int64_t{16} << 20;
constexpr std::string_view kPrefix = "transformer.";

// A causal mask that transformers stored with old checkpoints: a constant, not a parameter.
bool is_mask(std::string_view name) {
  return name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
}

// transformers' Conv1D keeps [in, out], the transpose of nn.Linear's weight.
bool is_conv1d(std::string_view name) {
  return name.ends_with(".attn.c_attn.weight") || name.ends_with(".attn.c_proj.weight") ||
         name.ends_with(".mlp.c_fc.weight") || name.ends_with(".mlp.c_proj.weight");
}

// GPT2LMHeadModel saves "transformer.h.0...", GPT2Model "h.0...".
std::string nanogpt_name(const std::string& name) {
  if (name.starts_with(kPrefix) || name == "lm_head.weight") return name;
  return std::string(kPrefix) + name;
}

void add_file(const SafetensorsFile& file, FileTensors& tensors) {
  for (const TensorInfo& info : file.tensors()) {
    if (is_mask(info.name)) continue;
    const std::string name = nanogpt_name(info.name);
    const FileTensor tensor = {.bytes = file.bytes(),
                               .offset = info.offset,
                               .type = info.type,
                               .shape = info.shape,
                               .is_transposed = is_conv1d(name)};
    if (!tensors.emplace(name, tensor).second) {
      fail_file(file.path(), fmt::format("tensor {} occurs twice", in_quotes(name)),
                "with and without \"transformer.\", or in two shards: keep one of them");
    }
  }
}

// Every shard, holding exactly the tensors that the index says it holds.
void add_shards(const fs::path& folder, const std::string& index_path, FileTensors& tensors) {
  const ShardIndex index =
      parse_shard_index(read_all(*open_file(index_path), kMostJsonBytes), index_path);
  size_t found = 0;
  for (const std::string& name : index.files) {
    const SafetensorsFile shard((folder / name).string());
    for (const TensorInfo& info : shard.tensors()) {
      const auto entry = index.file_of.find(info.name);
      if (entry == index.file_of.end() || entry->second != name) {
        fail_file(shard.path(),
                  fmt::format("tensor {} is not listed as being here by {}", in_quotes(info.name),
                              index_path),
                  "the index and the shards are of different checkpoints: download them together");
      }
      ++found;
    }
    for (const auto& [tensor, file] : index.file_of) {
      if (file != name || shard.find(tensor)) continue;
      fail_file(
          shard.path(),
          fmt::format("lacks tensor {}, which {} says is here", in_quotes(tensor), index_path),
          "the index and the shards are of different checkpoints: download them together");
    }
    add_file(shard, tensors);
  }
}

FileTensors open_tensors(const fs::path& folder) {
  FileTensors tensors;
  const fs::path single = folder / "model.safetensors";
  const fs::path index = folder / "model.safetensors.index.json";
  if (may_exist(single)) {
    add_file(SafetensorsFile(single.string()), tensors);
  } else if (may_exist(index)) {
    add_shards(folder, index.string(), tensors);
  } else {
    fail_file(folder.string(), "has neither model.safetensors nor model.safetensors.index.json",
              "if it has pytorch_model.bin, convert it where Python is: "
              "GPT2LMHeadModel.from_pretrained(folder).save_pretrained(folder)");
  }
  return tensors;
}

// transformers ties by throwing lm_head.weight away. Where it is not the embedding, versions of
// transformers disagree on what to do, so tplab asks.
void settle_tied_head(FileTensors& tensors, const std::string& path) {
  const auto head = tensors.find("lm_head.weight"), wte = tensors.find("transformer.wte.weight");
  if (head == tensors.end() || wte == tensors.end()) return;
  if (!are_equal(head->second, wte->second)) {
    fail_file(path,
              "tie_word_embeddings is true, but lm_head.weight differs from transformer.wte.weight",
              "set tie_word_embeddings to false to use lm_head.weight, or remove it from the file");
  }
  tensors.erase(head);
}

}  // namespace

std::unique_ptr<WeightSource> open_huggingface(const std::string& folder) {
  const std::string config_path = (fs::path(folder) / "config.json").string();
  const GptConfig config =
      parse_gpt2_config(read_all(*open_file(config_path), kMostJsonBytes), config_path);
  FileTensors tensors = open_tensors(folder);
  if (config.tied_head) settle_tied_head(tensors, config_path);
  return make_file_weights(config, std::move(tensors), folder,
                           "Hugging Face GPT-2 folder " + folder);
}

}  // namespace tplab
