// A family of models that people have as Hugging Face folders: what its config.json means, and what
// its parameters are called. To add one: a file here, and its row in formats(). No command opens
// them yet.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "model/architecture.h"
#include "model/name_table.h"

namespace tplab {

// config.json's entries, checked as they are read. `otherwise` stands for what the class defaults
// to. Everything throws Error(bad_file) that names the file and the key. REQUIRES: the object
// outlives it.
class ConfigJson {
 public:
  ConfigJson(const nlohmann::json& object, std::string path)
      : object_(object), path_(std::move(path)) {}

  static constexpr int64_t kMost = int64_t{1} << 24;  // so that products of two are within int64

  int64_t size(const char* key, int64_t most = kMost) const;  // a whole number from 1 up
  int64_t size_or(const char* key, int64_t otherwise) const {
    return has(key) ? size(key) : otherwise;
  }
  // 0 where it is null, which switches off what it says.
  int64_t size_or_none(const char* key, int64_t otherwise) const;
  std::vector<int64_t> sizes(const char* key) const;  // whole numbers; none where it is not there
  double number(const char* key) const;
  double number(const char* key, double otherwise) const {
    return has(key) ? number(key) : otherwise;
  }
  double positive(const char* key) const;
  double positive(const char* key, double otherwise) const;
  // 0 where it is null, which switches off what it says.
  double number_or_none(const char* key, double otherwise) const;
  bool flag(const char* key, bool otherwise) const;
  std::string text(const char* key) const;
  std::vector<std::string> texts(const char* key) const;
  ConfigJson object(const char* key) const;

  // Throws unless it is this, or is not there. For options that would make another network of it.
  void require(const char* key, const nlohmann::json& wanted) const;

  bool has(const char* key) const;  // and it is not null
  [[noreturn]] void refuse(const char* key, const std::string& wanted) const;

 private:
  const nlohmann::json& at(const char* key, const std::string& wanted) const;

  const nlohmann::json& object_;
  std::string path_;
};

struct Format {
  std::string_view model_type;  // config.json's
  Architecture (*architecture)(const ConfigJson& config);
  NameTable (*names)(const Architecture& architecture);
};

Format falcon_format();
Format gemma2_format();
Format gemma3_format();
Format gpt_neox_format();
Format gpt_oss_format();
Format llama_format();
Format mistral_format();
Format mixtral_format();
Format olmo2_format();
Format phi3_format();
Format qwen2_format();
Format qwen3_format();
Format qwen3_moe_format();

std::span<const Format> formats();

// The format's architecture, with no more layers and experts than can be listed. Throws
// Error(bad_file).
Architecture read_architecture(const Format& format, const ConfigJson& config);

}  // namespace tplab
