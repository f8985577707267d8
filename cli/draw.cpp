// tplab draw: pictures of plans, algorithms and runs, as files or as text.
#include "cli/draw.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "cli/called.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/parallelism_options.h"
#include "model/files/bytes.h"
#include "sim/error.h"
#include "viz/drawing/graphviz.h"

namespace tplab::cli {

namespace {

constexpr const char* kAnyKind = " --help --json --no-color --out --ascii --config ";

// To add a kind: its function (draw.h), and a row here.
std::vector<DrawKind> make_kinds() {
  const std::string model = "--preset --checkpoint --tp --uneven --dtype";
  const std::string step =
      model + " --dp --sp --sp-regather --zero --recompute --accumulate --batch --seq --algorithm";
  return {
      {"block", "one block on its ranks: what each computes, holds and sends",
       step + " --phase --layer", 2, draw_block},
      {"model", "all modules, with their sync points and bytes", step + " --depth --unfold", 2,
       draw_model},
      {"shards", "which part of each matrix each rank holds, to scale", model, 2, draw_shards},
      {"collective", "what an algorithm does, step by step", "--op --algorithm --tp", 4,
       draw_collective},
      {"mesh", "the ranks, their groups, and what each group sends in a step", step, 2, draw_mesh},
      {"compare", "sync points and bytes of TP, TP + SP, pipeline and naive splitting",
       model + " --recompute --accumulate --batch --seq --algorithm", 2, draw_compare},
      {"timeline", "when each rank computes, waits and sends, as measured",
       step + " --seed --device --comm --timeout", 2, draw_timeline},
  };
}

const std::vector<DrawKind>& kinds() {
  static const std::vector<DrawKind> kKinds = make_kinds();
  return kKinds;
}

std::string names_of(const std::vector<DrawKind>& some) {
  std::string names;
  for (const DrawKind& kind : some)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", kind.name);
  return names;
}

const DrawKind& find_kind(const std::string& name) {
  Words names;
  for (const DrawKind& kind : kinds()) {
    if (kind.name == name) return kind;
    names.emplace_back(kind.name);
  }
  fail(fmt::format("{} is no kind of picture", in_quotes(name)),
       fmt::format("{}the kinds are {}", did_you_mean(name, names), names_of(kinds())));
}

bool has_word(const std::string& words, const std::string& word) {
  return (" " + words + " ").find(" " + word + " ") != std::string::npos;
}

// Refuses options that would change nothing.
void check_options(const CLI::App& sub, const DrawKind& kind) {
  for (const CLI::Option* option : sub.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || option->get_positional() || has_word(kAnyKind, name) ||
        has_word(kind.options, name))
      continue;
    std::vector<DrawKind> others;
    std::copy_if(kinds().begin(), kinds().end(), std::back_inserter(others),
                 [&](const DrawKind& other) { return has_word(other.options, name); });
    fail(fmt::format("{} is not used by {}", name, kind.name),
         others.empty() ? "drop it"
                        : fmt::format("drop it, or draw what has it: {}", names_of(others)));
  }
}

// By what -o ends in: "svg"; "text" for .txt and for no file.
std::string format_of(const std::string& path, bool json) {
  if (path.empty()) return "text";
  std::string ending = std::filesystem::path(path).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (json) {
    if (ending == ".json") return "text";
    fail(fmt::format("--json writes numbers, and -o names {}", path),
         "end -o in .json, or drop --json");
  }
  if (ending == ".txt") return "text";
  for (const std::string known : {".svg", ".png", ".pdf", ".dot"})
    if (ending == known) return ending.substr(1);
  fail(fmt::format("-o {}: a picture's format is told by the file's ending", path),
       ending == ".json" ? "add --json for its numbers, or end it in .svg, .png, .pdf, .dot or .txt"
                         : "end it in .svg, .png, .pdf, .dot or .txt");
}

// Before the work: a format that Graphviz cannot write here.
void check_format(const std::string& format) {
  if (format != "text" && format != "dot") static_cast<void>(drawn({.title = "test"}, format));
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (!value || !*value) continue;
    std::string text = value;
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text.find("utf-8") != std::string::npos || text.find("utf8") != std::string::npos;
  }
  return false;
}

struct DrawCommand {
  std::string kind;
  DrawSettings settings;
  Output output;
  bool ascii = false;

  void run(const CLI::App& sub);

 private:
  void parse(const DrawKind& kind);
  TextStyle style() const;
};

void DrawCommand::parse(const DrawKind& row) {
  StepOptions& step = settings.step;
  if (step.parallelism.tp == 0) {
    step.parallelism.tp = row.tp;
    settings.machine.spread(step.parallelism.tp, step.parallelism.dp);
  }
  step.device = settings.machine.device;
  step.comm = settings.machine.comm;
  step.timeout_s = settings.machine.timeout_s;
  step.parallelism.uneven = settings.model.uneven;
  step.algorithm = parse_algorithm(settings.algorithm);
  step.dtype = parse_dtype(settings.dtype);
}

// A file's text is the same wherever it is written.
TextStyle DrawCommand::style() const {
  const bool file = !output.path().empty();
  return {.colour = output.colour(),
          .unicode = !ascii && (file || locale_is_utf8()),
          .columns = output.columns()};
}

void DrawCommand::run(const CLI::App& sub) {
  if (kind.empty()) {
    const auto options = sub.get_options([](const CLI::Option* o) { return o->count() > 0; });
    if (options.empty()) throw CLI::CallForHelp();
    fail("no kind of picture is named", fmt::format("name one of {}", names_of(kinds())));
  }
  const DrawKind& row = find_kind(kind);
  check_options(sub, row);
  parse(row);
  const std::string format = format_of(output.path(), output.json());
  check_format(format);
  output.open({settings.model.checkpoint});
  const Drawing drawing = row.draw(settings);
  if (output.json())
    output.document(drawing.numbers());
  else if (format == "text")
    output.lines(drawing.text(style()));
  else
    output.text(drawn(drawing.graph(), format));
  output.close();
}
constexpr const char* kExamples = R"(Examples:
  tplab draw block --preset nano-cpu --tp 2 --phase forward
  tplab draw block --preset gpt2 --tp 4 --sp --layer 3 -o block.svg
  tplab draw model --preset gpt2-xl --tp 8 --uneven -o xl.svg
  tplab draw shards --preset nano-cpu --tp 4             as text, in the terminal
  tplab draw shards --preset gpt2-xl --tp 5 -o xl.svg    or .png, .pdf, .dot, .txt
  tplab draw collective --op all_reduce --algorithm ring --tp 4
  tplab draw mesh --preset gpt2 --tp 4 --dp 2 --zero 2
  tplab draw compare --preset gpt2-large --tp 4 --batch 8 --seq 1024 -o a.svg
  tplab draw timeline --preset nano-cpu --tp 2 --sp)";

std::string footer() {
  std::string text = "Kinds:\n";
  for (const DrawKind& kind : kinds()) text += fmt::format("  {:<12}{}\n", kind.name, kind.help);
  return text + kExamples + "\n`tplab draw KIND --help` tells of one kind alone.";
}

void add_step_options(CLI::App& sub, DrawSettings& settings) {
  StepOptions& step = settings.step;
  add_parallelism(sub, step.parallelism);
  sub.add_option("--batch", step.batch, "sequences a step (2 a micro-batch of each replica)")
      ->check(whole_number(1));
  sub.add_option("--seq", step.seq, "tokens a sequence (64, or the context if shorter)")
      ->check(whole_number(1));
}

}  // namespace

std::string draw_help(const CLI::App& draw, const std::string& name) {
  const DrawKind& kind = find_kind(name);
  const std::string command = fmt::format("tplab draw {}", name);
  std::istringstream lines(kExamples);
  std::string examples = "Examples:\n";
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("  " + command + " ")) examples += line + "\n";
  return help_text(draw,
                   {command, std::string(kind.help), examples,
                    [&](const CLI::Option& option) {
                      return !option.get_positional() &&
                             (has_word(kAnyKind, option.get_name()) ||
                              has_word(kind.options, option.get_name()));
                    }},
                   terminal_columns());
}

void add_draw(CLI::App& app, int&) {
  auto command = std::make_shared<DrawCommand>();
  CLI::App* sub = app.add_subcommand("draw", "Pictures: as SVG, PNG, PDF, or text");
  sub->footer(footer());
  sub->add_option("KIND", command->kind, names_of(kinds()))->type_name([] {
    std::string w;
    for (const DrawKind& k : kinds()) w += (w.empty() ? "" : "|") + std::string(k.name);
    return w;
  }());
  DrawSettings& settings = command->settings;
  settings.model.add_options(*sub);
  settings.step.parallelism.tp = 0;  // not given
  sub->add_option("--tp", settings.step.parallelism.tp,
                  "ranks to split over (2; a collective's: 4)")
      ->check(rank_count("--tp"));
  settings.model.add_uneven(*sub);
  add_step_options(*sub, settings);
  add_dtype(*sub, settings.dtype);
  add_algorithm(*sub, settings.algorithm);
  settings.machine.add_options(*sub);
  one_of(sub->add_option("--phase", settings.phase, "which pass"), {"forward", "backward", "both"})
      ->capture_default_str();
  one_of(sub->add_option("--op", settings.op, "which collective"), op_words())
      ->capture_default_str();
  sub->add_option("--depth", settings.depth, "modules within modules that are shown")
      ->check(whole_number(1))
      ->capture_default_str();
  sub->add_option("--layer", settings.layer, "which block")
      ->check(whole_number(0))
      ->capture_default_str();
  sub->add_flag("--unfold", settings.unfold, "every block, also those that are alike");
  sub->add_flag("--ascii", command->ascii, "text without Unicode");
  command->output.add_options(*sub);
  sub->callback([command, sub] { command->run(*sub); });
}

}  // namespace tplab::cli
