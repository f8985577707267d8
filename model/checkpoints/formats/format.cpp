#include "model/checkpoints/formats/format.h"

#include <fmt/format.h>

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

int64_t ConfigJson::size(const char* key) const {
  constexpr const char* kWanted = "a whole number from 1 up";
  const nlohmann::json& value = at(key, kWanted);
  if (!value.is_number_unsigned() || value == 0 ||
      value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    refuse(key, kWanted);
  return value.get<int64_t>();
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

std::span<const Format> formats() {
  static const Format all[] = {falcon_format(), gpt_oss_format(), gemma2_format()};
  return all;
}

}  // namespace tplab
