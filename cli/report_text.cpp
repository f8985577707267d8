#include "cli/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/golden_text.h"
#include "viz/drawing/tables.h"

namespace tplab::cli {

namespace {

using Align = Table::Align;

Table::Cell agreement(bool agrees, const std::string& text) {
  return agrees ? Table::Cell{text} : Table::Cell{"DIFFER", Ink::bad};
}

// One row a run: tp and dtype.
Table run_table(const Report& report) {
  Table table({{"tp", Align::right},
               {"dtype"},
               {"error", Align::right},
               {"bound", Align::right},
               {"decode", Align::right},
               {"loss", Align::right},
               {"replicas"},
               {"collectives", Align::right},
               {"verdict"}},
              2);
  for (const RunResult& run : report.runs) {
    const bool complete = !run.results.empty();
    const bool identical = std::all_of(run.results.begin(), run.results.end(),
                                       [](const SiteResult& s) { return s.replicas_identical; });
    table.row({{fmt::format("{}", run.mesh.tp)},
               {std::string(name(run.dtype))},
               {complete ? error_text(run.results.back().rms) : "-"},
               {complete ? error_text(run.results.back().bound.rms) : "-", Ink::dim},
               {error_text(run.decode.rms)},
               {run.loss ? fmt::format("{:.6f}", *run.loss) : "-"},
               agreement(identical, "same"),
               agreement(run.disagreement.empty(), fmt::format("{}", run.events[0].size())),
               verdict(!run.finding)});
  }
  return table;
}

// What the columns mean.
std::string legend(const Report& report) {
  size_t sites = 0;
  for (const RunResult& run : report.runs) sites = std::max(sites, run.results.size());
  return fmt::format(
      "sites        places in the network: {} compared (see --sites)\n"
      "error        of the logits, over their size\n"
      "bound        the most that rounding may make of the error\n"
      "decode       the error, a token at a time from a cache\n"
      "replicas     what several ranks hold: the same bits on each\n"
      "collectives  of a rank: predicted in number and size\n",
      sites);
}

// Errors relative to the other program's tensor, one row a run; the worst site of all.
Table against_table(const Report& report) {
  Table table({{"tp", Align::right},
               {"dtype"},
               {"tensors", Align::right},
               {"logits", Align::right},
               {"loss", Align::right},
               {"worst tensor"},
               {"greedy"},
               {"verdict"}});
  const auto find = [](const std::vector<AgainstResult>& all, std::string_view tensor) {
    const auto it = std::find_if(all.begin(), all.end(),
                                 [&](const AgainstResult& a) { return a.tensor == tensor; });
    return it == all.end() ? std::string("-") : error_text(it->rms);
  };
  const auto row = [&](const std::string& tp, std::string_view dtype,
                       const std::vector<AgainstResult>& all, const std::string& greedy,
                       bool right) {
    if (all.empty() && greedy == "-") return;
    const auto badness = [](const AgainstResult& a) {
      return std::isnan(a.rms) ? std::numeric_limits<double>::infinity() : a.rms;
    };
    const auto worst = std::max_element(
        all.begin(), all.end(),
        [&](const AgainstResult& a, const AgainstResult& b) { return badness(a) < badness(b); });
    const bool agrees =
        std::all_of(all.begin(), all.end(), [](const AgainstResult& a) { return a.good; });
    table.row({{tp},
               {std::string(dtype)},
               {fmt::format("{}", all.size())},
               {find(all, "logits")},
               {find(all, "loss")},
               {all.empty() ? "-" : fmt::format("{} {}", worst->tensor, error_text(worst->rms))},
               {greedy},
               golden_verdict(right, agrees && greedy != "DIFFER")});
  };
  row("ref", "f64", report.reference_against, "-", true);
  for (const RunResult& run : report.runs) {
    const std::string greedy =
        !run.greedy_good ? "-"
        : *run.greedy_good
            ? fmt::format("{} same{}", run.greedy_tokens, run.greedy_tie ? ", then a tie" : "")
            : "DIFFER";
    row(fmt::format("{}", run.mesh.tp), name(run.dtype), run.against, greedy, !run.finding);
  }
  return table;
}

// What the golden file has otherwise than tplab: the first run that finds it says it for all.
std::string golden_findings(const Report& report, bool colour) {
  size_t runs = 0;
  std::string text;
  for (const RunResult& run : report.runs) {
    if (!run.golden_finding || runs++ > 0) continue;
    text = golden_finding_text(fmt::format("tp {}, {}", run.mesh.tp, name(run.dtype)),
                               *run.golden_finding, colour);
  }
  if (runs > 1) text += fmt::format("  (so it does in {} runs)\n", runs);
  return runs > 0 ? text : reference_differs_text(report.reference_against, colour);
}

Table site_table(const RunResult& run) {
  Table table({{"site"},
               {"placement"},
               {"error", Align::right},
               {"bound", Align::right},
               {"largest", Align::right},
               {"its bound", Align::right},
               {"verdict"}});
  for (const SiteResult& s : run.results) {
    table.row({{s.site},
               {s.placement},
               {error_text(s.rms)},
               {error_text(s.bound.rms), Ink::dim},
               {error_text(s.max_abs)},
               {error_text(s.bound.max_abs), Ink::dim},
               verdict(s.good)});
  }
  return table;
}

// Where the bytes go, for the last run of each tp, and what each rank needs, for every run.
std::string machine_text(const Report& report, bool colour, int columns) {
  std::string text;
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const RunResult& run = report.runs[i];
    const bool last_of_tp =
        std::none_of(report.runs.begin() + static_cast<std::ptrdiff_t>(i) + 1, report.runs.end(),
                     [&](const RunResult& later) { return later.mesh.tp == run.mesh.tp; });
    if (!last_of_tp || run.events[0].empty()) continue;
    const std::string heading = fmt::format("what crossed between ranks: forward, tp {}, {}, {}",
                                            run.mesh.tp, name(run.dtype), name(report.algorithm));
    text += fmt::format("\n{}\n{}", ink(heading, Ink::bold, colour),
                        ledger_table(run.events[0]).text(colour, columns));
  }
  if (!text.empty())
    text +=
        "payload         of the tensors, whatever way they went\n"
        "sent by rank 0  its part in the algorithm\n";
  std::vector<ShardPlan> plans;
  for (const RunResult& run : report.runs)
    plans.emplace_back(report.architecture, run.mesh.tp, run.mesh.uneven);
  std::vector<MemoryOfRun> memory;
  for (size_t i = 0; i < plans.size(); ++i)
    memory.push_back({plans[i], report.runs[i].dtype, report.runs[i].ranks});
  return text +
         fmt::format("\n{}\n{}", ink("memory of each rank", Ink::bold, colour),
                     memory_table(memory).text(colour, columns)) +
         "of the model    the padding of the vocabulary counted too\n";
}

}  // namespace

std::string forward_report_text(const Report& report, bool all_sites, bool colour, int columns) {
  const Architecture& c = report.architecture;
  std::string text = fmt::format(
      "{}\n{} layers, {} heads, {} wide, vocabulary {}; {} x {} tokens against the dense float64 "
      "reference\n\n",
      report.source, c.layers(), first_attention(c).heads, c.width, c.vocabulary, report.batch,
      report.length);
  text += run_table(report).text(colour, columns) + legend(report);
  const bool has_greedy =
      std::any_of(report.runs.begin(), report.runs.end(),
                  [](const RunResult& run) { return run.greedy_good.has_value(); });
  if (!report.reference_against.empty() || !report.not_compared.empty() || has_greedy)
    text += "\nagainst the golden file (ref: tplab's reference)\n" +
            against_table(report).text(colour, columns) +
            golden_notes_text(report.reference_against, report.not_compared);
  for (const RunResult& run : report.runs) {
    const std::string which = fmt::format("tp {}, {}", run.mesh.tp, name(run.dtype));
    if (all_sites) text += fmt::format("\n{}\n{}", which, site_table(run).text(colour, columns));
    if (run.finding) text += finding_text(which, *run.finding, colour);
  }
  text += golden_findings(report, colour) + machine_text(report, colour, columns);
  if (report.trace) text += trace_comparison_text(*report.trace, colour);
  return text + "\n" + verdict_line(report, colour);
}

}  // namespace tplab::cli
