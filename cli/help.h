// What --help shows, as wide as the terminal: examples first, then the options.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace tplab::cli {

// An option in words, for help, man page and completion.
struct OptionText {
  std::string names;  // "-o, --out"
  std::string value;  // "FILE"; empty for a flag
  std::string help;   // with its default
};
OptionText option_text(const CLI::Option& option);

struct HelpText {
  std::string name, about, footer;
  std::function<bool(const CLI::Option&)> shows;
};
// A command's own.
HelpText help_of(const CLI::App& command);
std::string help_text(const CLI::App& command, const HelpText& text, int columns);

// One screen: the commands and where to read on.
std::string short_help(const CLI::App& tplab, int columns);

// Makes --help of all commands this.
std::shared_ptr<CLI::FormatterBase> help_formatter();

}  // namespace tplab::cli
