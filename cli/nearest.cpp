#include "cli/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/checkpoints/bytes.h"
#include "model/config.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

// How many letters to change, put in, leave out, or swap with the next.
size_t spelling_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last, row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, std::exchange(row, std::vector<size_t>(b.size() + 1, i)));
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::string letters(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  std::string low(word);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) {
    return c == '_' || c == '.' ? '-' : static_cast<char>(std::tolower(c));
  });
  return low;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& words) {
  const std::string asked = letters(word);
  if (asked.empty()) return "";
  std::string found;
  size_t least = std::max<size_t>(1, asked.size() / 3) + 1;
  for (const std::string& known : words) {
    const size_t distance = spelling_distance(asked, letters(known));
    if (distance < least) {
      found = known;
      least = distance;
    }
  }
  if (!found.empty()) return found;
  for (const std::string& known : words)  // what it begins, if that is one alone
    if (asked.size() >= 3 && letters(known).starts_with(asked)) {
      if (!found.empty()) return "";
      found = known;
    }
  return found;
}

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

std::vector<std::string> dtype_words() { return {"f32", "f64"}; }
std::vector<std::string> algorithm_words() { return {"direct", "ring", "tree", "gather"}; }
std::vector<std::string> op_words() {
  return {"all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all"};
}

std::vector<std::string> words_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  if (type.find('|') == std::string::npos) return {};
  return CLI::detail::split(type, '|');
}

}  // namespace tplab::cli
