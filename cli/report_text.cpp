#include "cli/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "viz/tables.h"

namespace tplab::cli {

namespace {

using Align = Table::Align;

std::string error_text(double error) { return fmt::format("{:.1e}", error); }

Table::Cell verdict(bool good) {
  return good ? Table::Cell{"ok", Ink::good} : Table::Cell{"WRONG", Ink::bad};
}

Table::Cell agreement(bool agrees, const std::string& text) {
  return agrees ? Table::Cell{text} : Table::Cell{"DIFFER", Ink::bad};
}

// One row a run: tp and dtype.
Table run_table(const Report& report) {
  Table table({{"tp", Align::right},
               {"dtype"},
               {"sites", Align::right},
               {"logits' error", Align::right},
               {"bound", Align::right},
               {"cached decode", Align::right},
               {"loss", Align::right},
               {"replicas"},
               {"collectives"},
               {"verdict"}});
  for (const RunResult& run : report.runs) {
    const bool complete = !run.sites.empty();
    const bool identical = std::all_of(run.sites.begin(), run.sites.end(),
                                       [](const SiteResult& s) { return s.replicas_identical; });
    table.row({{fmt::format("{}", run.tp)},
               {std::string(name(run.dtype))},
               {fmt::format("{}", run.sites.size())},
               {complete ? error_text(run.sites.back().rms) : "-"},
               {complete ? error_text(run.sites.back().bound.rms) : "-", Ink::dim},
               {error_text(run.decode.rms)},
               {run.loss ? fmt::format("{:.6f}", *run.loss) : "-"},
               agreement(identical, "identical"),
               agreement(run.disagreement.empty(),
                         fmt::format("{}, as predicted", run.forward[0].size())),
               verdict(run.good())});
  }
  return table;
}

// Errors relative to the other program's tensor, one row a run; the worst site of all.
Table against_table(const Report& report) {
  Table table({{"tp", Align::right},
               {"dtype"},
               {"tensors", Align::right},
               {"logits' error", Align::right},
               {"loss' error", Align::right},
               {"worst tensor"},
               {"greedy tokens"},
               {"verdict"}});
  const auto find = [](const std::vector<AgainstResult>& all, std::string_view tensor) {
    const auto it = std::find_if(all.begin(), all.end(),
                                 [&](const AgainstResult& a) { return a.tensor == tensor; });
    return it == all.end() ? std::string("-") : error_text(it->rms);
  };
  const auto row = [&](const std::string& tp, std::string_view dtype,
                       const std::vector<AgainstResult>& all, const std::string& greedy) {
    if (all.empty()) return;
    const auto badness = [](const AgainstResult& a) {
      return std::isnan(a.rms) ? std::numeric_limits<double>::infinity() : a.rms;
    };
    const auto worst = std::max_element(
        all.begin(), all.end(),
        [&](const AgainstResult& a, const AgainstResult& b) { return badness(a) < badness(b); });
    const bool good =
        std::all_of(all.begin(), all.end(), [](const AgainstResult& a) { return a.good; });
    table.row({{tp},
               {std::string(dtype)},
               {fmt::format("{}", all.size())},
               {find(all, "logits")},
               {find(all, "loss")},
               {fmt::format("{} {}", worst->tensor, error_text(worst->rms))},
               {greedy},
               verdict(good && greedy != "DIFFER")});
  };
  row("ref", "f64", report.reference_against, "-");
  for (const RunResult& run : report.runs) {
    const std::string greedy = !run.greedy_good   ? "-"
                               : *run.greedy_good ? fmt::format("{}, the same", run.greedy_tokens)
                                                  : "DIFFER";
    row(fmt::format("{}", run.tp), name(run.dtype), run.against, greedy);
  }
  return table;
}

Table site_table(const RunResult& run) {
  Table table({{"site"},
               {"placement"},
               {"error", Align::right},
               {"bound", Align::right},
               {"largest", Align::right},
               {"its bound", Align::right},
               {"verdict"}});
  for (const SiteResult& s : run.sites) {
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
std::string machine_text(const Report& report, bool colour) {
  std::string text;
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const RunResult& run = report.runs[i];
    const bool last_of_tp =
        std::none_of(report.runs.begin() + static_cast<std::ptrdiff_t>(i) + 1, report.runs.end(),
                     [&](const RunResult& later) { return later.tp == run.tp; });
    if (!last_of_tp || run.forward[0].empty()) continue;
    const std::string heading = fmt::format("what crossed between ranks: forward, tp {}, {}, {}",
                                            run.tp, name(run.dtype), name(report.algorithm));
    text += fmt::format("\n{}\n{}", ink(heading, Ink::bold, colour),
                        ledger_table(run.forward[0]).text(colour));
  }
  std::vector<ShardPlan> plans;
  for (const RunResult& run : report.runs) plans.emplace_back(report.config, run.tp);
  std::vector<MemoryOfRun> memory;
  for (size_t i = 0; i < plans.size(); ++i)
    memory.push_back({plans[i], report.runs[i].dtype, report.runs[i].ranks});
  return text + fmt::format("\n{}\n{}", ink("memory of each rank", Ink::bold, colour),
                            memory_table(memory).text(colour));
}

}  // namespace

std::string report_text(const Report& report, bool all_sites, bool colour) {
  const GptConfig& c = report.config;
  std::string text = fmt::format(
      "{}\n{} layers, {} heads, {} wide, vocabulary {}; {} x {} tokens against the dense float64 "
      "reference\n\n",
      report.source, c.n_layer, c.n_head, c.n_embd, c.vocab_size, report.batch, report.length);
  text += run_table(report).text(colour);
  if (!report.reference_against.empty()) {
    text += "\nagainst the other program's tensors\n" + against_table(report).text(colour);
    if (!report.not_compared.empty())
      text += fmt::format("not compared, no such site here: {}\n",
                          fmt::join(report.not_compared, ", "));
  }
  for (const RunResult& run : report.runs) {
    if (all_sites)
      text += fmt::format("\ntp {}, {}\n{}", run.tp, name(run.dtype), site_table(run).text(colour));
    if (!run.finding) continue;
    const std::string where =
        fmt::format("tp {}, {}: first wrong at {}", run.tp, name(run.dtype), run.finding->site);
    text += fmt::format("\n{}\n  {}\n  {}\n", ink(where, Ink::bad, colour), run.finding->where,
                        run.finding->cause);
  }
  text += machine_text(report, colour);
  text += fmt::format("\n{}\n", report.good() ? ink("verified", Ink::good, colour)
                                              : ink("NOT verified", Ink::bad, colour));
  return text;
}

}  // namespace tplab::cli
