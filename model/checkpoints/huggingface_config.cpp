// config.json and model.safetensors.index.json.
#include <fmt/format.h>

#include <algorithm>

#include "model/checkpoints/file_weights.h"
#include "model/checkpoints/huggingface.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {
namespace {

using nlohmann::json;

// A value as a message shows it.
std::string shown(const json& value) {
  return value.is_string()       ? in_quotes(value.get<std::string>())
         : value.is_structured() ? std::string(value.type_name())
                                 : json_text(value);
}

int64_t size_at(const json& config, const char* key, const std::string& path) {
  const auto found = config.find(key);
  if (found != config.end() && found->is_number_unsigned() && *found != 0 &&
      found->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) {
    return found->get<int64_t>();
  }
  fail_file(path, fmt::format("{} is {}", key, found == config.end() ? "missing" : shown(*found)),
            "a GPT-2 config.json has n_layer, n_head, n_embd, n_positions and vocab_size (and may "
            "have n_inner): whole numbers from 1 up");
}

bool flag_at(const json& config, const char* key, bool otherwise, const std::string& path) {
  const auto found = config.find(key);
  if (found == config.end()) return otherwise;
  if (found->is_boolean()) return found->get<bool>();
  fail_file(path, fmt::format("{} is {}", key, shown(*found)), "it must be true or false");
}

Gelu gelu_of(const json& config, const std::string& path) {
  const json name = config.value("activation_function", json("gelu_new"));
  for (const char* tanh :
       {"gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"}) {
    if (name == tanh) return Gelu::tanh;
  }
  if (name == "gelu" || name == "gelu_python") return Gelu::erf;
  fail_file(path, "activation_function is " + shown(name),
            "tplab knows gelu_new, gelu_pytorch_tanh and gelu_fast (tanh) and gelu (erf)");
}

// The first configs of 2019 had no model_type, but the name of a class.
bool is_gpt2_class(const json& config) {
  const auto classes = config.find("architectures");
  return classes != config.end() && classes->is_array() && !classes->empty() &&
         classes->front().is_string() && classes->front().get<std::string>().starts_with("GPT2");
}

// Options of transformers' GPT2Config that change what the network computes.
void refuse_other_networks(const json& config, const std::string& path) {
  const json type = config.value("model_type", json());
  if (type != "gpt2" && !(type.is_null() && is_gpt2_class(config))) {
    fail_file(path, "model_type is " + (type.is_null() ? "missing" : shown(type)),
              "tplab reads GPT-2: a folder whose config.json says \"model_type\": \"gpt2\"");
  }
  const auto require = [&](const char* key, bool wanted) {
    if (flag_at(config, key, wanted, path) == wanted) return;
    fail_file(path, fmt::format("{} is {}", key, !wanted),
              "tplab has no such attention: use a model trained without this option");
  };
  require("scale_attn_weights", true);
  require("scale_attn_by_inverse_layer_idx", false);
  require("add_cross_attention", false);
  // reorder_and_upcast_attn says in which order half precision is computed: the same network.
  static_cast<void>(flag_at(config, "reorder_and_upcast_attn", false, path));
  const json pruned = config.value("pruned_heads", json());
  if (!pruned.empty()) {
    fail_file(path, "pruned_heads is not empty", "use the model before its heads were pruned");
  }
  if (!config.value("quantization_config", json()).is_null()) {
    fail_file(path, "its weights are quantized", "use the model's f32, f16 or bf16 weights");
  }
}

// Whether a shard's name stays in the index's folder.
bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

GptConfig parse_gpt2_config(std::string_view text, const std::string& path) {
  const json json_config = parse_json_object(text, path);
  refuse_other_networks(json_config, path);

  GptConfig config;
  config.n_layer = size_at(json_config, "n_layer", path);
  config.n_head = size_at(json_config, "n_head", path);
  config.n_embd = size_at(json_config, "n_embd", path);
  const bool is_old = !json_config.contains("n_positions") && json_config.contains("n_ctx");
  config.block_size = size_at(json_config, is_old ? "n_ctx" : "n_positions", path);
  config.vocab_size = size_at(json_config, "vocab_size", path);
  constexpr int64_t kMostEmbd = int64_t{1} << 24;  // 4 C is computed before check() sees C
  config.n_inner = json_config.value("n_inner", json()).is_null()
                       ? 4 * std::min(config.n_embd, kMostEmbd)
                       : size_at(json_config, "n_inner", path);
  config.tied_head = flag_at(json_config, "tie_word_embeddings", true, path);
  config.gelu = gelu_of(json_config, path);
  const json eps = json_config.value("layer_norm_epsilon", json(1e-5));
  if (!eps.is_number() || !(eps.get<double>() > 0)) {
    fail_file(path, "layer_norm_epsilon is " + shown(eps),
              "it must be a number above 0; GPT-2's is 1e-5");
  }
  config.layer_norm_eps = eps.get<double>();
  check_file_config(config, path);
  return config;
}

ShardIndex parse_shard_index(std::string_view text, const std::string& path) {
  const json object = parse_json_object(text, path);
  const auto map = object.find("weight_map");
  if (map == object.end() || !map->is_object() || map->empty()) {
    fail_file(path, "has no weight_map",
              "an index is an object whose weight_map gives each tensor's file");
  }
  ShardIndex index;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_file_name(file.get<std::string>())) {
      fail_file(
          path,
          fmt::format("tensor {} is in {}, which is no file name", in_quotes(tensor), shown(file)),
          "shards must lie in the folder of the index");
    }
    index.file_of[tensor] = file.get<std::string>();
    index.files.push_back(file.get<std::string>());
  }
  std::sort(index.files.begin(), index.files.end());
  index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
  return index;
}

}  // namespace tplab
