// tplab help: a screen of help, a command's own, and what is installed beside the program.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "cli/called.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/draw.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

struct HelpCommand {
  Words words;
  std::string shell;
  bool man = false, complete = false;

  std::string text(const CLI::App& tplab, const std::string& version) const;
};

std::string HelpCommand::text(const CLI::App& tplab, const std::string& version) const {
  if (complete) return completions(tplab, words);
  if (!shell.empty()) return completion_script(shell);
  if (man) return man_page(tplab, version);
  return words.empty() ? short_help(tplab, terminal_columns()) : help_on(tplab, words);
}

}  // namespace

std::string help_on(const CLI::App& tplab, const Words& words) {
  const Called called = find_called(tplab, words);
  const Arguments rest = read_arguments(*called.app, words, called.words);
  if (called.app->get_name() == "draw" && !rest.positionals.empty())
    return draw_help(*called.app, rest.positionals[0]);
  if (!rest.positionals.empty() && !commands_of(*called.app).empty()) {
    const Words known = names_of(commands_of(*called.app));
    fail(fmt::format("{} is no command of {}", in_quotes(rest.positionals[0]),
                     full_name(*called.app)),
         did_you_mean(rest.positionals[0], known) +
             fmt::format("see {} --help", full_name(*called.app)));
  }
  return called.app->help();
}

void add_help(CLI::App& app, const std::string& version) {
  auto command = std::make_shared<HelpCommand>();
  CLI::App* sub = app.add_subcommand("help", "One screen of help, or all about a command");
  sub->footer(R"(Examples:
  tplab help
  tplab help verify                               the same as tplab verify --help
  tplab help draw timeline
  tplab help --completion bash > tplab.bash       then: source tplab.bash
  tplab help --man > tplab.1                      then: man -l tplab.1)");
  sub->add_option("COMMAND", command->words, "what to tell about")
      ->type_name(fmt::format("{}", fmt::join(names_of(commands_of(app)), "|")));
  sub->add_flag("--man", command->man, "the man page");
  one_of(sub->add_option("--completion", command->shell, "what a shell reads to complete words"),
         {"bash", "zsh", "fish"});
  sub->add_flag("--complete", command->complete, "")->group("");
  sub->callback([command, &app, version] {
    const std::string text = command->text(app, version);
    std::fwrite(text.data(), 1, text.size(), stdout);
  });
}

}  // namespace tplab::cli
