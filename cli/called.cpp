#include "cli/called.h"

#include <algorithm>

namespace tplab::cli {

std::optional<Words> take_watched(Words& words) {
  if (words.empty() || words[0] != "monitor") return std::nullopt;
  const auto mark = std::find(words.begin(), words.end(), "--");
  if (mark == words.end()) return std::nullopt;
  Words watched(mark + 1, words.end());
  words.erase(mark, words.end());
  return watched;
}

Called find_called(const CLI::App& tplab, const Words& words) {
  Called called{&tplab, 0};
  for (const std::string& word : words) {
    const CLI::App* next = nullptr;
    for (const CLI::App* sub : commands_of(*called.app))
      if (sub->get_name() == word) next = sub;
    if (!next) break;
    called = {next, called.words + 1};
  }
  return called;
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return (parent ? full_name(*parent) + " " : "") + command.get_name();
}

std::vector<const CLI::App*> commands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

Words names_of(const std::vector<const CLI::App*>& commands) {
  Words names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

Words option_names(const CLI::App& command) {
  Words names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

bool Arguments::has(const CLI::Option* option) const {
  return std::find(given.begin(), given.end(), option) != given.end();
}

Arguments read_arguments(const CLI::App& command, const Words& words, size_t first) {
  Arguments read;
  for (size_t i = first; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (read.awaits) {
      read.awaits = nullptr;
      continue;
    }
    if (word.size() < 2 || word[0] != '-') {
      read.positionals.push_back(word);
      continue;
    }
    const bool is_long = word[1] == '-';
    const std::string name = is_long ? word.substr(0, word.find('=')) : word.substr(0, 2);
    const CLI::Option* option = command.get_option_no_throw(name);
    if (!option) continue;
    read.given.push_back(option);
    const bool has_value = is_long ? name.size() < word.size() : word.size() > 2;
    if (takes_value(*option) && !has_value) read.awaits = option;
  }
  return read;
}

}  // namespace tplab::cli
