#include "model/checkpoints/huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "model/checkpoints/file_weights.h"
#include "model/checkpoints/tensor_names.h"
#include "model/files/safetensors.h"
#include "model/files/state_dict.h"
#include "model/files/torch_file.h"
#include "model/name_table.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostJsonBytes = int64_t{16} << 20;
constexpr const char* kConvertFolder =
    "convert it where Python is: GPT2LMHeadModel.from_pretrained(folder).save_pretrained(folder)";

// A tensor that safetensors.torch.save_model left out, since another had the same memory, has that
// one's name in the metadata: {"transformer.wte.weight": "lm_head.weight"}.
void add_aliases(const SafetensorsFile& file, std::vector<FileTensor>& tensors) {
  for (const auto& [name, kept] : file.metadata()) {
    const TensorInfo* info = file.find(kept);
    if (!info || file.find(name) || !is_model_name(name)) continue;
    tensors.push_back({.name = name,
                       .bytes = file.bytes(),
                       .offset = info->offset,
                       .type = info->type,
                       .shape = info->shape});
  }
}

void add_file(const SafetensorsFile& file, std::vector<FileTensor>& tensors) {
  for (const TensorInfo& info : file.tensors()) {
    tensors.push_back({.name = info.name,
                       .bytes = file.bytes(),
                       .offset = info.offset,
                       .type = info.type,
                       .shape = info.shape});
  }
  add_aliases(file, tensors);
}

// Every shard, holding exactly the tensors that the index says it holds.
void add_shards(const fs::path& folder, const std::string& index_path,
                std::vector<FileTensor>& tensors) {
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

// PyTorch's own format, which transformers wrote before safetensors: a state dict.
void add_torch_file(const std::string& path, std::vector<FileTensor>& tensors) {
  TorchFile file(open_file(path));
  const StateDict state = read_state_dict(file.document(), file.document().root(), path);
  for (const auto& [name, kind] : state.others) {
    if (is_model_name(name))
      fail_file(path, fmt::format("{} is {}, not a tensor", in_quotes(name), kind), kConvertFolder);
  }
  tensors = file.locate(state);
}

// What else lies in folders of models, and is named where it is all there is.
constexpr std::pair<const char*, const char*> kOthers[] = {
    {"pytorch_model.bin.index.json", "PyTorch's shards"},
    {"tf_model.h5", "TensorFlow's weights"},
    {"model.ckpt.index", "a TensorFlow checkpoint"},
    {"flax_model.msgpack", "Flax's weights"},
    {"adapter_model.safetensors", "an adapter (LoRA), which is no model by itself"},
    {"adapter_model.bin", "an adapter (LoRA), which is no model by itself"},
    {"rust_model.ot", "Rust's weights"}};

[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::string what = "has neither model.safetensors nor model.safetensors.index.json";
  for (const auto& [name, kind] : kOthers) {
    if (may_exist(folder / name)) what += fmt::format("; {} is {}", name, kind);
  }
  fail_file(folder.string(), what, kConvertFolder);
}

std::vector<FileTensor> open_tensors(const fs::path& folder) {
  std::vector<FileTensor> tensors;
  const fs::path single = folder / "model.safetensors", torch = folder / "pytorch_model.bin";
  const fs::path index = folder / "model.safetensors.index.json";
  if (may_exist(single)) {
    add_file(SafetensorsFile(single.string()), tensors);
  } else if (may_exist(index)) {
    add_shards(folder, index.string(), tensors);
  } else if (may_exist(torch)) {
    add_torch_file(torch.string(), tensors);
  } else {
    refuse_folder(folder);
  }
  return tensors;
}

// transformers ties by throwing one of the two away. Where both are there and differ, versions of
// transformers disagree on what to do, so tplab asks.
void settle_head(const GptConfig& config, FileTensors& tensors, const std::string& path) {
  if (config.tied_head) take_head_for_embedding(tensors);
  const auto head = tensors.find(head_name()), wte = tensors.find(embedding_name());
  if (head == tensors.end()) return;
  const std::string name = in_quotes(head->second.name);
  if (wte == tensors.end()) {
    fail_file(path,
              fmt::format("tie_word_embeddings is false, and there is {} but no embedding", name),
              "set tie_word_embeddings to true if the head is the embedding, or save " +
                  embedding_name() + " too");
  }
  if (!config.tied_head) return;
  if (!are_equal(head->second, wte->second)) {
    fail_file(path,
              fmt::format("tie_word_embeddings is true, but {} differs from {}", name,
                          in_quotes(wte->second.name)),
              "set tie_word_embeddings to false to use the head, or remove it from the file");
  }
  tensors.erase(head);
}

}  // namespace

std::unique_ptr<WeightSource> open_huggingface(const std::string& folder) {
  const std::string config_path = (fs::path(folder) / "config.json").string();
  const GptConfig config =
      parse_gpt2_config(read_all(*open_file(config_path), kMostJsonBytes), config_path);
  KnownTensors named = name_tensors(open_tensors(folder));
  for (const NamedTensor& expected : named_tensors(config)) {
    const auto found = named.tensors.find(expected.name);
    if (found == named.tensors.end()) continue;  // which is refused below
    found->second.is_transposed = name_row(gpt2_names(), expected.id).transposed;
  }
  settle_head(config, named.tensors, config_path);
  return make_file_weights(config, std::move(named.tensors), folder,
                           "Hugging Face GPT-2 folder " + folder, unread_note(named.unread));
}

}  // namespace tplab
