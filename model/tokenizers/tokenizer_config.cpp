#include "model/tokenizers/tokenizer_config.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {
namespace {

using nlohmann::json;

constexpr const char* kConfigFix = "download the file again, or save the tokenizer again";
constexpr size_t kLongest = 1024;  // bytes of an added token; the longest known has some 100

AddedToken checked(AddedToken token, const std::string& name) {
  if (token.content.empty()) fail_file(name, "an added token is empty", kConfigFix);
  if (token.content.size() > kLongest) {
    fail_file(name,
              fmt::format("the added token {} has {} bytes, more than {}", in_quotes(token.content),
                          token.content.size(), kLongest),
              kConfigFix);
  }
  return token;
}

// A token is named by its text, or by an object with "content".
std::string content_of(const json& named) {
  const json content = named.is_object() ? named.value("content", json()) : named;
  return content.is_string() ? content.get<std::string>() : "";
}

void read_decoder(const json& decoder, const std::string& name, WrittenBpe& written) {
  for (const auto& [id, entry] : decoder.items()) {
    uint64_t number = 0;
    const char* const end = id.data() + id.size();
    const auto [stop, error] = std::from_chars(id.data(), end, number);
    if (error != std::errc() || stop != end || !entry.is_object())
      fail_file(name, fmt::format("added_tokens_decoder has {} for an id", in_quotes(id)),
                kConfigFix);
    json with_id = entry;
    with_id["id"] = number;
    add_token(read_added_token(with_id, name), written);
  }
}

}  // namespace

AddedToken read_added_token(const json& entry, const std::string& name) {
  const std::string content = content_of(entry);
  const json id = entry.is_object() ? entry.value("id", json()) : json();
  if (!id.is_number_unsigned() || content.empty())
    fail_file(name, "an added token has no id or no content", kConfigFix);
  const auto is_set = [&](const char* key, bool otherwise) {
    const json value = entry.value(key, json());
    return value.is_boolean() ? value.get<bool>() : otherwise;
  };
  const bool special = is_set("special", false);
  return checked({.content = content,
                  .id = checked_id(id.get<uint64_t>(), content, name),
                  .special = special,
                  .normalized = is_set("normalized", !special),
                  .single_word = is_set("single_word", false),
                  .lstrip = is_set("lstrip", false),
                  .rstrip = is_set("rstrip", false),
                  .file = name},
                 name);
}

void add_token(const AddedToken& token, WrittenBpe& written) {
  const auto [place, is_new] = written.added.emplace(token.content, token);
  AddedToken& there = place->second;
  if (there.id != token.id) {
    fail_file(
        token.file,
        fmt::format("the added token {} has the id {}, and {} in {}", in_quotes(token.content),
                    token.id, there.id, there.file == token.file ? "the same file" : there.file),
        kConfigFix);
  }
  there.special = there.special || token.special;
}

void read_added_tokens(std::string_view text, const std::string& name, WrittenBpe& written) {
  const json tokens = parse_json_object(text, name);
  for (const auto& [content, id] : tokens.items())
    add_token(read_added_token({{"content", content}, {"id", id}}, name), written);
}

void read_tokenizer_config(std::string_view text, const std::string& name, WrittenBpe& written) {
  const json config = parse_json_object(text, name);
  const json decoder = config.value("added_tokens_decoder", json());
  if (decoder.is_object()) read_decoder(decoder, name, written);
  const auto value_at = [&](const char* key) { return config.value(key, json()); };
  // transformers' plain class keeps to tokenizer.json; GPT-2's keeps to this file.
  const json kind = value_at("tokenizer_class"), prefix = value_at("add_prefix_space");
  const bool is_plain = kind == "PreTrainedTokenizerFast" || kind == "TokenizersBackend";
  if (prefix.is_boolean() && !is_plain && written.options.words == BpeOptions().words)
    written.options.add_prefix_space = prefix.get<bool>();
  for (const char* key : {"add_bos_token", "add_eos_token"})
    if (value_at(key) == true)
      written.notes.push_back(
          fmt::format("{}: has {}: tplab adds no token to a text, write it there", name, key));
  for (const auto& [key, value] : config.items()) {
    if (key.ends_with("_token")) written.special.emplace(content_of(value), name);
    if (key == "additional_special_tokens" || key == "extra_special_tokens")
      for (const json& one : value) written.special.emplace(content_of(one), name);
  }
  for (const auto& [key, place] : {std::pair{"bos_token", &written.options.begin},
                                   std::pair{"eos_token", &written.options.end}}) {
    const std::string content = content_of(value_at(key));
    if (!content.empty()) *place = content;
  }
}

}  // namespace tplab
