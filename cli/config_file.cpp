#include "cli/config_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "cli/machine_facts.h"
#include "cli/usage.h"
#include "model/files/bytes.h"
#include "model/files/json.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

// What is not of the run, but of one call of it.
bool is_of_the_call(const CLI::Option& option) {
  constexpr std::array kNames = {"--help", "--help-all", "--config",
                                 "--json", "--no-color", "--out"};
  return std::find(kNames.begin(), kNames.end(), option.get_name()) != kNames.end();
}

// "tp", "sp", "KIND"
std::string key_of(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_name(true) : option.get_lnames().front();
}

// Null for what no file may say.
const CLI::Option* find_option(const CLI::App& command, const std::string& key) {
  if (key == "help" || key == "config") return nullptr;
  for (const CLI::Option* option : command.get_options())
    if (key_of(*option) == key) return option;
  return command.get_option_no_throw("--" + key);
}

struct Setting {
  std::string key;
  Words values;
};

std::string read_text(const std::string& path) {
  constexpr int64_t kMostBytes = int64_t{1} << 20;
  const std::string text = read_all(*open_file(path), kMostBytes);
  return text.substr(utf8::mark_length(text));
}

Words values_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return {value.get<std::string>()};
  if (!value.is_array()) return {json_text(value)};
  Words values;
  for (const Json& one : value)
    values.push_back(one.is_string() ? one.get<std::string>() : json_text(one));
  return values;
}

std::vector<Setting> from_json(const std::string& path, const std::string& text,
                               const CLI::App& command) {
  const Json doc = Json::parse(text, nullptr, false);
  if (!doc.is_object() || !doc.contains("options") || !doc["options"].is_object() ||
      !doc.contains("command"))
    fail_file(path, "has no options of a command in it, as --json writes them",
              "give what --json wrote, or lines like: tp = 2");
  if (doc["command"] != full_name(command))
    fail_file(path,
              fmt::format("is of {}, not of {}", json_text(doc["command"]), full_name(command)),
              "give a file of this command");
  std::vector<Setting> settings;
  const Json defaults = recorded_options(command);
  for (const auto& [key, value] : doc["options"].items())
    if (!value.is_null() && (!defaults.contains(key) || defaults[key] != value))
      settings.push_back({key, values_of(value)});  // else nobody asked for it
  return settings;
}

// Sections, as [verify] or [bench.decode], are of that command alone.
std::vector<Setting> from_lines(const std::string& path, const std::string& text,
                                const CLI::App& command) {
  std::istringstream stream(text);
  std::vector<Setting> settings;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
      std::string section = "tplab";
      for (const std::string& parent : item.parents) section += " " + parent;
      const bool bracket = item.name == "++" || item.name == "--";
      if (bracket || (!item.parents.empty() && section != full_name(command))) continue;
      settings.push_back({item.name, item.inputs});
    }
  } catch (const std::exception& e) {
    fail_file(path, fmt::format("cannot be understood: {}", e.what()), "write lines like: tp = 2");
  }
  return settings;
}

// " (line 3)", if a line begins with the key.
std::string line_of(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  int number = 1;
  for (std::string line; std::getline(lines, line); ++number) {
    const size_t begin = std::min(line.find_first_not_of(" \t\""), line.size());
    if (line.compare(begin, key.size(), key) == 0) return fmt::format("line {}: ", number);
  }
  return "";
}

// The setting as words of a command line.
Words as_words(const std::string& path, const CLI::Option& option, const Setting& setting) {
  const std::string value = fmt::format("{}", fmt::join(setting.values, ","));
  if (takes_value(option)) return {"--" + setting.key, value};
  if (value == "true") return {"--" + setting.key};
  const Words& names = option.get_lnames();
  const bool has_no = std::find(names.begin(), names.end(), "no-" + setting.key) != names.end();
  if (value == "false") return has_no ? Words{"--no-" + setting.key} : Words{};
  fail_file(path, fmt::format("{} = {} is neither true nor false", setting.key, in_quotes(value)),
            fmt::format("write {} = true", setting.key));
}

// The value of --config, and the words without it.
std::string take_config(const CLI::App& command, size_t first, Words& words) {
  std::string path;
  Words rest(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(first));
  for (size_t i = first; i < words.size(); ++i) {
    const bool awaited =
        read_arguments(command, {words.begin(), words.begin() + static_cast<std::ptrdiff_t>(i)},
                       first)
            .awaits;
    if (!awaited && words[i] == "--config" && i + 1 < words.size()) {
      path = words[++i];
    } else if (!awaited && words[i].starts_with("--config=")) {
      path = words[i].substr(9);
    } else {
      rest.push_back(words[i]);
    }
  }
  words = rest;
  return path;
}

// 12, 0.5 and true as JSON has them, where the option's values are numbers.
Json typed(const CLI::Option& option, const std::string& text) {
  const std::string type = option.get_type_name();
  const bool words = type.find('|') != std::string::npos && !type.starts_with("0|");
  const Json number = words ? Json() : Json::parse(text, nullptr, false);
  const bool known = type == "INT" || type == "UINT" || type == "FLOAT" || type.starts_with("0|");
  return known && number.is_number() ? number : Json(text);
}

Json value_of(const CLI::Option& option) {
  if (!takes_value(option)) {
    if (option.count() == 0) return option.get_default_str() == "true";
    return option.as<bool>();
  }
  Words values = option.results();
  if (option.count() == 0) {
    if (option.get_default_str().empty()) return nullptr;
    values = {option.get_default_str()};
  }
  // A list is one, however it was written.
  const bool list = option.get_items_expected_max() > 1;
  if (!list) return typed(option, values.front());
  Json all = Json::array();
  for (std::string value : values) {
    if (value.starts_with('[')) value = value.substr(1, value.size() - 2);
    if (option.get_positional()) {
      all.push_back(value);
    } else {
      for (const std::string& one : CLI::detail::split(value, ','))
        all.push_back(typed(option, one));
    }
  }
  return all;
}

void add_config_to(CLI::App& command) {
  for (CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; }))
    add_config_to(*sub);
  if (command.get_require_subcommand_min() == 0 && command.get_name() != "help")
    command.add_option("--config", "options from a file: lines like tp = 2, or what --json wrote")
        ->type_name("FILE");
}

}  // namespace

void add_config(CLI::App& tplab) { add_config_to(tplab); }

Words with_config(const CLI::App& tplab, const Words& words) {
  const Called called = find_called(tplab, words);
  const CLI::App& command = *called.app;
  if (!command.get_option_no_throw("--config")) return words;
  Words rest = words;
  const std::string path = take_config(command, called.words, rest);
  if (path.empty()) return words;
  const std::string text = read_text(path);
  const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const auto settings = text.substr(begin, 1) == "{" ? from_json(path, text, command)
                                                     : from_lines(path, text, command);
  const Arguments given = read_arguments(command, rest, called.words);
  Words first, last;
  for (const Setting& setting : settings) {
    const CLI::Option* option = find_option(command, setting.key);
    if (!option)
      fail_file(path,
                fmt::format("{}{} is no option of {}", line_of(text, setting.key),
                            in_quotes(setting.key), full_name(command)),
                which_option(command, "--" + setting.key) +
                    fmt::format("see {} --help", full_name(command)));
    if (option->get_positional()) {
      if (given.positionals.empty())
        first.insert(first.end(), setting.values.begin(), setting.values.end());
    } else if (!given.has(option)) {
      const Words more = as_words(path, *option, setting);
      last.insert(last.end(), more.begin(), more.end());
    }
  }
  first.insert(first.end(), {"--config", path});
  const auto at = rest.begin() + static_cast<std::ptrdiff_t>(called.words);
  rest.insert(rest.insert(at, last.begin(), last.end()), first.begin(), first.end());
  return rest;
}

std::optional<Error> of_config(const Error& error, const Words& given, const Words& words) {
  const auto file = std::find(words.begin(), words.end(), "--config");
  const std::string name = error.problem().substr(0, error.problem().find_first_of(": =,"));
  const auto is_it = [&](const std::string& word) {
    return word == name || word.starts_with(name + "=");
  };
  const bool of_file = error.kind() == ErrorKind::usage && name.starts_with("--") &&
                       std::none_of(given.begin(), given.end(), is_it) &&
                       std::any_of(words.begin(), words.end(), is_it);
  if (!of_file || words.end() - file < 2) return {};
  return Error(ErrorKind::bad_file, fmt::format("{}: {}", file[1], error.problem()), error.fix());
}

Json recorded_options(const CLI::App& command) {
  Json options = Json::object();
  for (const CLI::Option* option : command.get_options())
    if (!is_of_the_call(*option)) options[key_of(*option)] = value_of(*option);
  return options;
}

Json with_header(const CLI::App& command, const Json& doc) {
  std::string schema = full_name(command);
  std::replace(schema.begin(), schema.end(), ' ', '/');
  Json all = {{"schema", schema + "/1"},
              {"version", program_version()},
              {"command", full_name(command)},
              {"options", recorded_options(command)}};
  for (const auto& [key, value] : doc.items())
    if (key != "schema") all[key] = value;
  return all;
}

}  // namespace tplab::cli
