// tplab trace: one step of a model, as a trace for Perfetto or as a table of its collectives.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/step_settings.h"
#include "cli/trace_table.h"
#include "sim/error.h"
#include "viz/drawing/picture.h"
#include "viz/drawing/table.h"
#include "viz/recording/trace_events.h"

namespace tplab::cli {

namespace {

struct TraceCommand {
  StepSettings settings;
  Output output;
  bool table = false, unfold = false;

  void run(int& exit_code);

 private:
  void write_trace(const WeightSource& source);
  void write_table(const WeightSource& source, int& exit_code);
  TraceTable count(const WeightSource& source) const;
  nlohmann::ordered_json header(const WeightSource& source) const;
};

void TraceCommand::write_trace(const WeightSource& source) {
  if (output.terminal())
    fail("a trace is for a program to read, not for the terminal",
         "give -o FILE.json, or --table for what a person reads");
  require_step_memory(source, settings.step);
  const RecordedStep step = record_step(source, settings.step, settings.model.describe(source));
  output.text(trace_text(step.run));
  output.close("open it in https://ui.perfetto.dev");
  const size_t ranks = step.ranks.size();
  to_stderr("{}: {} rank{}, {} collectives on rank 0, {:.3f} ms\n", describe(settings.step), ranks,
            ranks == 1 ? "" : "s", step.ranks.front().ledger.events().size(),
            static_cast<double>(step.run.end_ns()) * 1e-6);
}

// What each rank counts in a run without numbers, and what it must by the papers' counts.
TraceTable TraceCommand::count(const WeightSource& source) const {
  const StepOptions& step = settings.step;
  return trace_table(step.plan(source.architecture()), step, count_step(source, step));
}

nlohmann::ordered_json TraceCommand::header(const WeightSource& source) const {
  const StepOptions& step = settings.step;
  const Parallelism& how = step.parallelism;
  return {{"model", settings.model.describe(source)},
          {"forward_only", step.forward_only},
          {"tp", how.tp},
          {"dp", how.dp},
          {"sp", how.sp},
          {"zero", how.zero},
          {"recompute", how.recompute},
          {"accumulate", how.accumulation},
          {"batch", step.batch},
          {"seq", step.seq},
          {"dtype", settings.dtype},
          {"algorithm", settings.algorithm}};
}

void TraceCommand::write_table(const WeightSource& source, int& exit_code) {
  const TraceTable counted = count(source);
  if (output.json()) {
    nlohmann::ordered_json document = header(source);
    counted.add_to(document);
    output.document(document);
  } else {
    const std::string title = settings.model.describe(source) + "\n" + describe(settings.step);
    output.lines(counted.text(title_lines(title, {}), unfold, output.colour(), output.columns()));
  }
  output.close();
  exit_code = counted.exit_code();
}

void TraceCommand::run(int& exit_code) {
  if (unfold && !table && !output.json())
    fail("--unfold is of the table", "add --table, or drop it");
  output.open({settings.model.checkpoint});
  const std::unique_ptr<WeightSource> source = settings.open();
  if (table || output.json()) {  // a trace is another program's JSON
    write_table(*source, exit_code);
  } else {
    write_trace(*source);
  }
}

}  // namespace

void add_trace(CLI::App& app, int& exit_code) {
  auto command = std::make_shared<TraceCommand>();
  CLI::App* sub =
      app.add_subcommand("trace", "One step of a model, as a trace for Perfetto or as a table");
  sub->footer(R"(Examples:
  tplab trace --preset nano-cpu --tp 2 -o trace.json       open it in https://ui.perfetto.dev
  tplab trace --preset nano --tp 2 --dp 2 --sp --zero 2 -o trace.json
  tplab trace --checkpoint ckpt.pt --tp 4 --forward -o trace.json
  tplab trace --table --preset gpt2-xl --tp 5              collectives, expected beside counted
A training step (or with --forward a forward pass) runs twice, and the second is recorded: phases,
modules and collectives as slices, arrows from the rank that came last to those that waited for it,
and the bytes sent. The table is of the same step without numbers, so its models may be of any size;
exit code 1 if a rank counts other collectives than the papers say.)");
  command->settings.add_options(*sub);
  sub->add_flag("--table", command->table,
                "the module tree with collectives and bytes; --json is of it, too");
  sub->add_flag("--unfold", command->unfold,
                "with --table: every block, also those that are alike");
  command->output.add_options(*sub);
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
