// tplab explore: a page that steps through a real pass of a small model, rank by rank.
#include <fmt/format.h>

#include "cli/command.h"
#include "sim/error.h"
#include "viz/explore/page.h"

namespace tplab::cli {

namespace {

struct ExploreCommand {
  Output output;
  explore::Options options;
  bool no_diagram = false;

  void run();
};

void ExploreCommand::run() {
  (void)explore::architecture_of(options);  // refuses sizes before a file is touched
  if (output.terminal() && !output.json())
    fail("a page is of no use in a terminal", "name a file, as in -o explore.html");
  output.open();
  const explore::Recording recording = explore::record(options);
  if (output.json())
    output.document(explore::totals_json(recording));
  else
    output.text(explore::page(recording, {.diagrams = !no_diagram}));
  output.close();
}

}  // namespace

void add_explore(CLI::App& app, int&) {
  auto command = std::make_shared<ExploreCommand>();
  CLI::App* sub =
      app.add_subcommand("explore", "Write a page that steps through a pass, rank by rank");
  sub->footer(R"(Examples:
  tplab explore -o explore.html                    then open it in a browser: it needs no network
  tplab explore --layers 2 --width 16 -o two.html
  tplab explore --json                             sync points and bytes of each run, and no page
A small model runs forward and backward on 1, 2 and 4 ranks, with and without sequence parallelism.
The page shows what each rank held at every step, and the line of code that made it.)");
  explore::Options& o = command->options;
  const auto size = [&](const char* name, int64_t& value, const char* help) {
    sub->add_option(name, value, help)->check(whole_number(1))->capture_default_str();
  };
  size("--layers", o.layers, "blocks, 1 to 4");
  size("--heads", o.heads, "4 or 8");
  size("--width", o.width, "features of the stream: a multiple of the heads, at most 32");
  size("--length", o.length, "tokens, 4 or 8");
  add_seed(*sub, o.seed);
  sub->add_flag("--no-diagram", command->no_diagram, "without the diagrams, which Graphviz draws");
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
