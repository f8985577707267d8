#include "cli/usage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "cli/nearest.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

std::string list(const Words& words) { return fmt::format("{}", fmt::join(words, ", ")); }

bool has_option(const CLI::App& command, const std::string& name) {
  return command.get_option_no_throw(name) != nullptr;
}

// The commands that have this option, below one: "tplab trace, tplab draw model".
void add_commands_with(const CLI::App& command, const std::string& option, Words& names) {
  for (const CLI::App* one : commands_of(command)) {
    if (has_option(*one, option)) names.push_back(full_name(*one));
    add_commands_with(*one, option, names);
  }
}

// The beginning of an option that this command has, or the end left off, or the reverse of it.
bool is_nearly_here(const CLI::App& command, const std::string& option) {
  const Words names = option_names(command);
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const std::string bare = name.substr(std::min<size_t>(2, name.size()));
    return name.starts_with(option) || option.starts_with(name) || option == "--no-" + bare ||
           name == "--no-" + option.substr(std::min<size_t>(2, option.size()));
  });
}

[[noreturn]] void refuse_command(const CLI::App& command, const Words& words, size_t first) {
  const std::string name = full_name(command);
  const Words known = names_of(commands_of(command));
  const std::string fix =
      fmt::format("the commands of {} are {}; see {} --help", name, list(known), name);
  if (first >= words.size()) fail(fmt::format("{} needs one of its commands", name), fix);
  const std::string& word = words[first];
  const std::string meant =
      !word.empty() && has_option(command, "--" + word)  // `tplab version`
          ? fmt::format("did you mean --{}? ", word)
          : did_you_mean(word, word.starts_with('-') ? option_names(command) : known);
  fail(fmt::format("{} is no command of {}", in_quotes(word), name), meant + fix);
}

// A word that stands for no option: a model's name or file, if the command takes one.
std::string what_it_may_be(const CLI::App& command, const std::string& word) {
  if (command.get_name() == "monitor")
    return "a command stands behind a lone --, as in tplab monitor -- sleep 5; ";
  const std::string preset = nearest(word, preset_words());
  if (!preset.empty() && has_option(command, "--preset"))
    return fmt::format("did you mean --preset {}? ", preset);
  std::error_code ignored;
  for (const char* option : {"--checkpoint", "--tokenizer"})
    if (has_option(command, option) && std::filesystem::exists(word, ignored))
      return fmt::format("did you mean {} {}? ", option, word);
  return "";
}

[[noreturn]] void refuse_extra(const CLI::App& command, const std::string& word) {
  const std::string name = full_name(command);
  const std::string see = fmt::format("see {} --help", name);
  if (word.size() > 1 && word.starts_with('-'))
    fail(fmt::format("{} is no option of {}", in_quotes(word), name),
         which_option(command, word.substr(0, word.find('='))) + see);
  fail(fmt::format("{} is a word too many for {}", in_quotes(word), name),
       what_it_may_be(command, word) + see);
}

// "--batch: ..." -> an example of it
std::string example_of(const CLI::App& command, const std::string& what) {
  const size_t begin = what.find("--");
  if (begin == std::string::npos) return "";
  const std::string name = what.substr(begin, what.find_first_of(": =,", begin) - begin);
  const CLI::Option* option = command.get_option_no_throw(name);
  if (!option || !takes_value(*option)) return "";
  const Words words = words_of(*option);
  const std::string type = option->get_type_name(), given = option->get_default_str();
  const bool number = type == "INT" || type == "UINT" || type == "FLOAT";
  const std::string value = !words.empty()                      ? words.front()
                            : !given.empty() && given[0] != '[' ? given
                            : number                            ? "2"
                                                                : type;
  return fmt::format("give it a value, as in {} {}; ", name, value);
}

// "Could not convert: --lr = x"
std::string reworded(const CLI::ParseError& error) {
  constexpr std::string_view kCouldNot = "Could not convert: ";
  std::string what = error.what();
  if (!what.starts_with(kCouldNot)) return what;
  const size_t end = what.find(" = ");
  if (end == std::string::npos) return what;
  return fmt::format("{}: {} is not a number",
                     what.substr(kCouldNot.size(), end - kCouldNot.size()),
                     in_quotes(what.substr(end + 3)));
}

}  // namespace

std::string which_option(const CLI::App& command, const std::string& option) {
  if (has_option(command, option)) return "options stand before a lone --; ";
  const CLI::App* tplab = &command;
  while (tplab->get_parent()) tplab = tplab->get_parent();
  Words others;
  add_commands_with(*tplab, option, others);
  if (others.empty() || is_nearly_here(command, option))
    return did_you_mean(option, option_names(command));
  constexpr size_t kMost = 3;
  const bool all = others.size() <= kMost;
  if (!all) others.resize(kMost);
  return fmt::format("it is one of {}{}; ", list(others), all ? "" : " and others");
}

void check_order(const CLI::App& tplab, const Words& words) {
  if (words.empty() || !words[0].starts_with('-')) return;
  if (has_option(tplab, words[0]) && words[0] != "--help") return;
  const Words known = names_of(commands_of(tplab));
  for (size_t i = 1; i < words.size(); ++i) {
    if (std::find(known.begin(), known.end(), words[i]) == known.end()) continue;
    Words right = {full_name(tplab), words[i]};
    right.insert(right.end(), words.begin(), words.begin() + static_cast<std::ptrdiff_t>(i));
    right.insert(right.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
    fail(fmt::format("options come after the command, and {} stands before", words[0]),
         fmt::format("{}", fmt::join(right, " ")));
  }
}

void refuse(const CLI::App& tplab, const Words& words, const CLI::ParseError& error) {
  const Called called = find_called(tplab, words);
  const CLI::App& command = *called.app;
  if (command.get_require_subcommand_min() > 0) refuse_command(command, words, called.words);
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
    const Words rest = tplab.remaining(true);
    if (!rest.empty()) refuse_extra(command, rest.front());
  }
  const std::string what = reworded(error);
  // What is missing may be there, and misspelt.
  const Words rest = command.remaining();
  if (dynamic_cast<const CLI::RequiredError*>(&error) && !rest.empty())
    refuse_extra(command, rest.front());
  const std::string see = fmt::format("see {} --help", full_name(command));
  if (dynamic_cast<const CLI::RequiresError*>(&error)) {  // "--steps requires --backward"
    const std::string missing = what.substr(what.rfind(' ') + 1);
    fail(fmt::format("{} is of use with {} alone", what.substr(0, what.find(' ')), missing),
         fmt::format("add {}, or drop it; {}", missing, see));
  }
  if (dynamic_cast<const CLI::ExcludesError*>(&error)) {  // "--prompt excludes --tokens"
    const std::string one = what.substr(0, what.find(' ')),
                      other = what.substr(what.rfind(' ') + 1);
    fail(fmt::format("{} and {} exclude each other", one, other), "drop one of them; " + see);
  }
  if (what.find("but received") != std::string::npos)  // "--tp: At Most 1 required but received 2"
    fail(fmt::format("{} is given more than once", what.substr(0, what.find(':'))),
         "give it once; " + see);
  fail(what, example_of(command, what) + see);
}

}  // namespace tplab::cli
