#include "cli/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

#include "model/config.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::cli {

std::string did_you_mean(std::string_view word, const std::vector<std::string>& words) {
  const std::string found = nearest(word, words);
  return found.empty() ? "" : fmt::format("did you mean {}? ", found);
}

CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& words) {
  const std::string name = option->get_name();
  const auto check = [name, words](const std::string& text) -> std::string {
    if (std::find(words.begin(), words.end(), text) != words.end()) return "";
    fail(fmt::format("{}: {} is none of its words", name, in_quotes(text)),
         fmt::format("{}use one of {}", did_you_mean(text, words), fmt::join(words, ", ")));
  };
  return option->check(CLI::Validator(check, ""))
      ->type_name(fmt::format("{}", fmt::join(words, "|")));
}

std::vector<std::string> preset_words() {
  std::vector<std::string> words;
  words.reserve(std::size(presets()));
  for (const Preset& preset : presets()) words.emplace_back(preset.name);
  return words;
}

std::vector<std::string> dtype_words() { return {"f32", "f64", "bf16"}; }
std::vector<std::string> algorithm_words() {
  return {"direct", "ring", "tree", "gather", "library"};
}
std::vector<std::string> op_words() {
  return {"all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all"};
}

std::vector<std::string> words_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type.find('|') == std::string::npos) return {};
  return CLI::detail::split(type, '|');
}

}  // namespace tplab::cli
