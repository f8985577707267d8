// Keys are the names of GptConfig's members.
#include "model/checkpoints/config_json.h"

#include <fmt/format.h>

#include "model/checkpoints/file_weights.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {
namespace {

using nlohmann::json;

struct SizeRow {
  const char* key;
  int64_t GptConfig::*member;
};
constexpr SizeRow kSizes[] = {
    {"n_layer", &GptConfig::n_layer},       {"n_head", &GptConfig::n_head},
    {"n_embd", &GptConfig::n_embd},         {"block_size", &GptConfig::block_size},
    {"vocab_size", &GptConfig::vocab_size}, {"n_inner", &GptConfig::n_inner}};
constexpr size_t kKeys = std::size(kSizes) + 4;

}  // namespace

nlohmann::ordered_json config_to_json(const GptConfig& config) {
  nlohmann::ordered_json object;
  for (const SizeRow& row : kSizes) object[row.key] = config.*row.member;
  object["bias"] = config.bias;
  object["tied_head"] = config.tied_head;
  object["gelu"] = config.gelu == Gelu::erf ? "erf" : "tanh";
  object["layer_norm_eps"] = config.layer_norm_eps;
  return object;
}

GptConfig config_from_json(std::string_view text, const std::string& where) {
  const json object = parse_json_object(text, where);
  const auto refuse = [&](const char* key) {
    fail_file(where, fmt::format("{} is missing, or of another kind", key),
              "use the tplab that wrote the file, or copy it again");
  };
  GptConfig config;
  for (const SizeRow& row : kSizes) {
    const json value = object.value(row.key, json());
    if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{INT64_MAX}) refuse(row.key);
    config.*row.member = value.get<int64_t>();
  }
  const json bias = object.value("bias", json()), tied = object.value("tied_head", json());
  const json gelu = object.value("gelu", json()), eps = object.value("layer_norm_eps", json());
  if (!bias.is_boolean()) refuse("bias");
  if (!tied.is_boolean()) refuse("tied_head");
  if (gelu != "erf" && gelu != "tanh") refuse("gelu");
  if (!eps.is_number()) refuse("layer_norm_eps");
  config.bias = bias.get<bool>();
  config.tied_head = tied.get<bool>();
  config.gelu = gelu == "erf" ? Gelu::erf : Gelu::tanh;
  config.layer_norm_eps = eps.get<double>();
  if (object.size() != kKeys) {
    fail_file(where, fmt::format("has {} choices, and {} are known", object.size(), kKeys),
              "use the tplab that wrote the file, or a newer one");
  }
  check_file_config(config, where);
  return config;
}

}  // namespace tplab
