// The words of a command line, before or after they are parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tplab::cli {

using Words = std::vector<std::string>;

// `tplab monitor OPTIONS -- WORDS`: takes from the words what stands behind --, and the mark, so
// that nothing reads an option or a list in another program's command line. Nothing where there is
// no mark, and for every other command.
std::optional<Words> take_watched(Words& words);

// The command that the first words name.
struct Called {
  const CLI::App* app;
  size_t words;  // how many name it
};
Called find_called(const CLI::App& tplab, const Words& words);

// "tplab bench decode"
std::string full_name(const CLI::App& command);
std::vector<const CLI::App*> commands_of(const CLI::App& command);
Words names_of(const std::vector<const CLI::App*>& commands);
Words option_names(const CLI::App& command);  // --tp and its like

// What the words after a command's name are to it.
struct Arguments {
  std::vector<const CLI::Option*> given;
  const CLI::Option* awaits = nullptr;  // whose value comes next
  Words positionals;

  bool has(const CLI::Option* option) const;
};
Arguments read_arguments(const CLI::App& command, const Words& words, size_t first);

bool takes_value(const CLI::Option& option);  // is no flag

}  // namespace tplab::cli
