#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "cli/called.h"
#include "cli/command.h"
#include "cli/nearest.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

void append(std::string& list, const std::string& one, const char* between = ", ") {
  list += (list.empty() ? "" : between) + one;
}

// "  name   what it is", the latter wrapped beside the name, or below one that is too long.
std::string entry(const std::string& name, const std::string& about, size_t column, int columns) {
  const std::string start = "  " + name;
  const bool beside = display_width(start) + 2 <= column;
  std::string text = beside ? start + std::string(column - display_width(start), ' ')
                            : start + "\n" + std::string(column, ' ');
  std::string rest = wrapped(about, static_cast<size_t>(columns) - column);
  for (size_t at = 0; (at = rest.find('\n', at)) != std::string::npos; at += column + 1)
    rest.insert(at + 1, column, ' ');
  return text + rest + "\n";
}

size_t option_column(int columns) { return columns < 70 ? 20 : 26; }

std::string options_text(const CLI::App& command, const HelpText& text, int columns) {
  std::string all;
  std::vector<std::string> groups = command.get_groups();
  for (const std::string& group : groups) {
    std::string entries;
    for (const CLI::Option* option : command.get_options()) {
      if (option->get_group() != group || option->get_positional() || !text.shows(*option))
        continue;
      const OptionText o = option_text(*option);
      entries += entry(o.names + (o.value.empty() ? "" : " ") + o.value, o.help,
                       option_column(columns), columns);
    }
    if (!group.empty() && !entries.empty()) all += fmt::format("\n{}:\n{}", group, entries);
  }
  return all;
}

std::string positionals_text(const CLI::App& command, const HelpText& text, int columns) {
  std::string entries;
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional() && text.shows(*option))
      entries +=
          entry(option->get_name(true), option->get_description(), option_column(columns), columns);
  return entries.empty() ? "" : "\nWhat comes first:\n" + entries;
}

std::string usage(const CLI::App& command, const HelpText& text) {
  std::string line = fmt::format("Usage: {}", text.name);
  if (!commands_of(command).empty()) line += " COMMAND";
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional() && text.shows(*option)) line += " " + option->get_name(true);
  return line + " [OPTIONS]\n";
}

// "  tplab verify --tp 2     what for": what for stands below where both are too long for a line,
// and a command itself is continued as a shell allows it.
std::string example(const std::string& line, int columns) {
  if (display_width(line) <= static_cast<size_t>(columns)) return line + "\n";
  const size_t gap = line.find("   ", 2);
  if (gap != std::string::npos)
    return example(line.substr(0, gap), columns) +
           fitted("      " + line.substr(line.find_first_not_of(' ', gap)), columns) + "\n";
  std::string command = wrapped(line, static_cast<size_t>(columns) - 2, 6) + "\n";
  for (size_t at = 0; (at = command.find("\n ", at)) != std::string::npos; at += 3)
    command.insert(at, " \\");
  return command;
}

// Lines that are indented stay lines, the others are paragraphs.
std::string footer_text(const std::string& footer, int columns) {
  std::istringstream lines(footer);
  std::string text, paragraph;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) text += wrapped(paragraph, static_cast<size_t>(columns)) + "\n";
    paragraph.clear();
  };
  for (std::string line; std::getline(lines, line);) {
    const bool ends = line.ends_with(':');  // of a list's heading
    if (!line.starts_with(' ')) append(paragraph, line, " ");
    if (line.starts_with(' ') || ends) end_paragraph();
    if (line.starts_with("  tplab ")) {
      text += example(line, columns);
    } else if (line.starts_with("  ")) {
      const size_t gap = line.find("  ", 2);
      text += gap == std::string::npos
                  ? fitted(line, columns) + "\n"
                  : entry(line.substr(2, gap - 2), line.substr(line.find_first_not_of(' ', gap)),
                          line.find_first_not_of(' ', gap), columns);
    }
  }
  end_paragraph();
  return text;
}

class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string /*name*/,
                        CLI::AppFormatMode mode) const override {
    const int columns = terminal_columns();
    std::string text = help_text(*app, help_of(*app), columns);
    if (mode != CLI::AppFormatMode::All) return text;
    for (const CLI::App* command : commands_of(*app))
      text += "\n" + std::string(static_cast<size_t>(columns), '-') + "\n" +
              make_help(command, "", CLI::AppFormatMode::All);
    return text;
  }
};

}  // namespace

OptionText option_text(const CLI::Option& option) {
  OptionText text;
  for (const std::string& name : option.get_snames()) append(text.names, fmt::format("-{}", name));
  for (const std::string& name : option.get_lnames()) append(text.names, fmt::format("--{}", name));
  text.help = option.get_description();
  std::string facts;
  if (takes_value(option)) {
    text.value = option.get_type_name();
    constexpr size_t kMost = 20;  // a longer list of words stands in the help
    if (const Words words = words_of(option); !words.empty() && text.value.size() > kMost) {
      text.value = "WORD";
      text.help += fmt::format(": {}", fmt::join(words, ", "));
    }
    std::string value = option.get_default_str();
    if (value.starts_with('[') && value.ends_with(']')) value = value.substr(1, value.size() - 2);
    if (!value.empty()) append(facts, "default " + value);
  }
  if (option.get_required()) append(facts, "required");
  for (const CLI::Option* other : option.get_excludes())
    append(facts, fmt::format("not with {}", other->get_name()));
  if (!facts.empty()) text.help += fmt::format(" ({})", facts);
  return text;
}

HelpText help_of(const CLI::App& command) {
  return {full_name(command), command.get_description(), command.get_footer(),
          [](const CLI::Option&) { return true; }};
}

std::string help_text(const CLI::App& command, const HelpText& text, int columns) {
  std::string all = fitted(text.about, columns) + "\n\n" + footer_text(text.footer, columns) +
                    "\n" + fitted(usage(command, text), columns) +
                    positionals_text(command, text, columns) + options_text(command, text, columns);
  const auto commands = commands_of(command);
  if (!commands.empty()) all += "\nCommands:\n";
  for (const CLI::App* sub : commands)
    all += entry(sub->get_name(), sub->get_description(), 14, columns);
  return all;
}

std::string short_help(const CLI::App& tplab, int columns) {
  std::string text = fitted(tplab.get_description(), columns) + "\n\n";
  for (const CLI::App* command : commands_of(tplab))
    text += entry(command->get_name(), command->get_description(), 14, columns);
  return text + "\n" +
         example("  tplab verify --preset nano-cpu --tp 1,2,4      a first thing to try", columns) +
         example("  tplab help verify                              all about one command",
                 columns) +
         example("  tplab --help                                   examples of every command",
                 columns);
}

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<ExamplesFirst>(); }

}  // namespace tplab::cli
