// tplab(1), made from what the commands say of themselves.
#include <fmt/format.h>

#include <sstream>

#include "cli/completion.h"
#include "cli/help.h"

namespace tplab::cli {

namespace {

// As the man macros take text: nothing in it is a command to them.
std::string roff(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\\') {
      safe += "\\e";
    } else if (c == '-') {
      safe += "\\-";
    } else if ((c == '.' || c == '\'') && (safe.empty() || safe.back() == '\n')) {
      safe += std::string("\\&") + c;
    } else {
      safe += c;
    }
  }
  return safe;
}

// Examples as they are, paragraphs filled.
std::string footer(const std::string& text) {
  std::istringstream lines(text);
  std::string page;
  bool literal = false;
  for (std::string line; std::getline(lines, line);) {
    const bool indented = line.starts_with(' ');
    if (indented != literal) page += indented ? ".PP\n.EX\n" : ".EE\n.PP\n";
    literal = indented;
    if (!line.empty()) page += roff(line) + "\n";
  }
  return page + (literal ? ".EE\n" : "");
}

std::string options(const CLI::App& command) {
  std::string page;
  for (const CLI::Option* option : command.get_options()) {
    const OptionText text = option_text(*option);
    const std::string name =
        option->get_positional() && text.names.empty() ? option->get_name(true) : text.names;
    page += fmt::format(".TP\n\\fB{}\\fR{}\n{}\n", roff(name),
                        text.value.empty() ? "" : fmt::format(" \\fI{}\\fR", roff(text.value)),
                        roff(text.help));
  }
  return page;
}

std::string sections(const CLI::App& command) {
  std::string page;
  for (const CLI::App* sub : commands_of(command)) {
    page += fmt::format(".SS {}\n{}.\n", roff(full_name(*sub)), roff(sub->get_description()));
    page += ".PP\n" + footer(sub->get_footer()) + options(*sub) + sections(*sub);
  }
  return page;
}

}  // namespace

std::string man_page(const CLI::App& tplab, const std::string& version) {
  return fmt::format(
      ".TH TPLAB 1 \"\" \"tplab {}\" \"User Commands\"\n.SH NAME\ntplab \\- {}\n"
      ".SH SYNOPSIS\n.B tplab\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n{}{}"
      ".SH COMMANDS\n{}",
      roff(version), roff("a laboratory for tensor parallelism"), footer(tplab.get_footer()),
      options(tplab), sections(tplab));
}

}  // namespace tplab::cli
