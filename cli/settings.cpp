#include "cli/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "cli/command.h"
#include "cli/nearest.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

// All of it a number, as strtod reads one; else NaN.
double number_of(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  return !text.empty() && end == text.c_str() + text.size() ? number : std::nan("");
}

Rule from_validator(const CLI::Validator& validator) {
  return [validator](const std::string& text) { return validator(text); };
}

}  // namespace

CLI::Validator as_validator(const Rule& rule) {
  return CLI::Validator([rule](std::string& text) { return rule(text); }, "");
}

Rule whole_from(int32_t least) { return from_validator(whole_number(least)); }
Rule seed_rule() { return from_validator(seed_number()); }

Rule finite_from_zero() {
  return [](const std::string& text) {
    const double number = number_of(text);
    if (number >= 0 && std::isfinite(number)) return std::string();
    return in_quotes(text) + " is not a finite number from 0 up";
  };
}

Rule part_of_one() {
  return [](const std::string& text) {
    const double number = number_of(text);
    if (number >= 0 && number < 1) return std::string();
    return in_quotes(text) + " is not a number from 0 to less than 1";
  };
}

CLI::Option* Settings::add_words(CLI::App& app, const std::string& name, std::string& value,
                                 const std::string& help, const std::vector<std::string>& words) {
  const auto rule = [words](const std::string& text) -> std::string {
    if (std::find(words.begin(), words.end(), text) != words.end()) return "";
    return fmt::format("{} is not one of {}", in_quotes(text), fmt::join(words, ", "));
  };
  CLI::Option* option = app.add_option("--" + name, value, help)->capture_default_str();
  return remember(name, value, one_of(option, words), rule);
}

bool Settings::given(const std::string& name) const { return any_given({name.c_str()}); }

bool Settings::any_given(std::initializer_list<const char*> names) const {
  return std::any_of(settings_.begin(), settings_.end(), [&](const Setting& s) {
    return s.option->count() > 0 && std::find(names.begin(), names.end(), s.name) != names.end();
  });
}

nlohmann::json Settings::to_json() const {
  nlohmann::json json;
  for (const Setting& s : settings_) json[s.name] = s.get();
  return json;
}

void Settings::restore(const std::string& path, const nlohmann::json& json) {
  for (const Setting& s : settings_) {
    if (s.option->count() > 0) continue;
    if (json.contains(s.name)) {
      restore(s, path, json.at(s.name));
    } else {
      to_stderr("tplab: note: the run does not say its --{}; taken: {}\n", s.name,
                json_text(s.get()));
    }
  }
}

void Settings::restore(const Setting& s, const std::string& path, const nlohmann::json& value) {
  const nlohmann::json now = s.get();
  const bool is_text = value.is_string();
  std::string problem;
  if (is_text != now.is_string() || value.is_boolean() != now.is_boolean())
    problem = in_quotes(json_text(value)) + " is of another kind";
  else if (s.rule)
    problem = s.rule(is_text ? value.get<std::string>() : json_text(value));
  if (problem.empty()) return s.set(value);
  fail_file(path, fmt::format("the run's setting {}: {}", s.name, problem),
            fmt::format("the file is corrupt, or edited: copy it again, or give --{}", s.name));
}

}  // namespace tplab::cli
