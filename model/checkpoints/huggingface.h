// GPT-2 as Hugging Face saves it: a folder with config.json and weights.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/weights.h"

namespace tplab {

// The folder has config.json and model.safetensors, or model.safetensors.index.json and the
// shards it names, or else pytorch_model.bin. Conv1D weights, [in, out] in the file, are transposed
// as they are read. Throws Error(bad_file).
std::unique_ptr<WeightSource> open_huggingface(const std::string& folder);

// The text of a config.json. Throws Error(bad_file), which begins with `path`, where a choice in
// it would change the mathematics and tplab does not know it.
GptConfig parse_gpt2_config(std::string_view text, const std::string& path);

// The files named by the text of a model.safetensors.index.json, each once; file names only, so
// that an index cannot lead out of its folder. Throws Error(bad_file).
struct ShardIndex {
  std::vector<std::string> files;
  std::map<std::string, std::string, std::less<>> file_of;  // by tensor
};
ShardIndex parse_shard_index(std::string_view text, const std::string& path);

}  // namespace tplab
