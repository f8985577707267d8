#include "model/checkpoints/formats/format.h"

#include <fmt/format.h>

#include <cmath>
#include <type_traits>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {

bool ConfigJson::has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

void ConfigJson::refuse(const char* key, const std::string& wanted) const {
  const auto found = object_.find(key);
  fail_file(path_,
            fmt::format("{} is {}", key,
                        found == object_.end() ? "missing" : in_quotes(json_text(*found))),
            "it must be " + wanted);
}

const nlohmann::json& ConfigJson::at(const char* key, const std::string& wanted) const {
  const auto found = object_.find(key);
  if (found == object_.end()) refuse(key, wanted);
  return *found;
}

int64_t ConfigJson::size(const char* key, int64_t most) const {
  const std::string wanted = fmt::format("a whole number from 1 to {}", most);
  const nlohmann::json& value = at(key, wanted);
  if (!value.is_number_unsigned() || value == 0 ||
      value.get<uint64_t>() > static_cast<uint64_t>(most))
    refuse(key, wanted);
  return value.get<int64_t>();
}

int64_t ConfigJson::size_or_none(const char* key, int64_t otherwise) const {
  const auto found = object_.find(key);
  if (found == object_.end()) return otherwise;
  return found->is_null() ? 0 : size(key);
}

std::vector<int64_t> ConfigJson::sizes(const char* key) const {
  std::vector<int64_t> list;
  if (!has(key)) return list;
  const nlohmann::json& value = at(key, "a list");
  if (!value.is_array()) refuse(key, "a list of whole numbers");
  for (const nlohmann::json& one : value) {
    if (!one.is_number_unsigned() || one.get<uint64_t>() > static_cast<uint64_t>(kMost))
      refuse(key, "a list of whole numbers");
    list.push_back(one.get<int64_t>());
  }
  return list;
}

double ConfigJson::positive(const char* key) const {
  const double value = number(key);
  if (!(value > 0 && std::isfinite(value))) refuse(key, "a number above 0");
  return value;
}

double ConfigJson::positive(const char* key, double otherwise) const {
  return has(key) ? positive(key) : otherwise;
}

double ConfigJson::number_or_none(const char* key, double otherwise) const {
  const auto found = object_.find(key);
  if (found == object_.end()) return otherwise;
  return found->is_null() ? 0 : positive(key);
}

void ConfigJson::require(const char* key, const nlohmann::json& wanted) const {
  if (has(key) && object_.at(key) != wanted)
    refuse(key, json_text(wanted) + ": another value means another network");
}

double ConfigJson::number(const char* key) const {
  const nlohmann::json& value = at(key, "a number");
  if (!value.is_number()) refuse(key, "a number");
  return value.get<double>();
}

bool ConfigJson::flag(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const nlohmann::json& value = at(key, "true or false");
  if (!value.is_boolean()) refuse(key, "true or false");
  return value.get<bool>();
}

std::string ConfigJson::text(const char* key) const {
  const nlohmann::json& value = at(key, "a text");
  if (!value.is_string()) refuse(key, "a text");
  return value.get<std::string>();
}

std::vector<std::string> ConfigJson::texts(const char* key) const {
  const nlohmann::json& value = at(key, "a list of texts");
  std::vector<std::string> list;
  if (!value.is_array()) refuse(key, "a list of texts");
  for (const nlohmann::json& one : value) {
    if (!one.is_string()) refuse(key, "a list of texts");
    list.push_back(one.get<std::string>());
  }
  return list;
}

ConfigJson ConfigJson::object(const char* key) const {
  const nlohmann::json& value = at(key, "an object");
  if (!value.is_object()) refuse(key, "an object");
  return {value, path_ + ": " + key};
}

Architecture read_architecture(const Format& format, const ConfigJson& config) {
  Architecture architecture = format.architecture(config);
  architecture.family = format.model_type;
  constexpr int64_t kMostExperts = int64_t{1} << 17;  // of all layers
  int64_t experts = 0;
  for_each_branch(architecture, [&](const auto& spec) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(spec)>, ExpertsSpec>)
      experts += spec.count;
  });
  if (experts > kMostExperts)
    config.refuse("num_local_experts", fmt::format("at most {} in all layers", kMostExperts));
  return architecture;
}

std::span<const Format> formats() {
  static const Format all[] = {
      falcon_format(), gemma2_format(),  gemma3_format(),   gpt_neox_format(), gpt_oss_format(),
      llama_format(),  mistral_format(), mixtral_format(),  olmo2_format(),    phi3_format(),
      qwen2_format(),  qwen3_format(),   qwen3_moe_format()};
  return all;
}

}  // namespace tplab
