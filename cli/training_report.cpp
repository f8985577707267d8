#include "cli/training_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "model/checkpoints/config_json.h"
#include "viz/tables.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;
using Align = Table::Align;

std::string error_text(double error) { return fmt::format("{:.1e}", error); }

Table::Cell verdict(bool good) {
  return good ? Table::Cell{"ok", Ink::good} : Table::Cell{"WRONG", Ink::bad};
}

// The result of those accepted by `wanted` whose error is largest; null if there is none.
template <class Result, class Wanted>
const Result* worst(const std::vector<Result>& results, Wanted&& wanted) {
  const auto size = [](const Result& r) {
    return std::isnan(r.rms) ? std::numeric_limits<double>::infinity() : r.rms;
  };
  const Result* found = nullptr;
  for (const Result& r : results)
    if (wanted(r) && (!found || size(r) > size(*found))) found = &r;
  return found;
}

bool is_gradient(const std::string& name) {
  return name.starts_with("grad.") || name.ends_with("/grad");
}

Table run_table(const TrainingReport& report) {
  Table table({{"mesh"},
               {"dtype"},
               {"gradients", Align::right},
               {"bound", Align::right},
               {"losses", Align::right},
               {"norms", Align::right},
               {fmt::format("after {}", report.steps), Align::right},
               {"replicas"},
               {"collectives"},
               {"verdict"}});
  for (const TrainingRun& run : report.runs) {
    const auto error_of = [&](auto&& wanted) -> std::string {
      const SiteResult* w = worst(run.results, wanted);
      return w ? error_text(w->rms) : "-";
    };
    const SiteResult* gradient =
        worst(run.results, [](const SiteResult& r) { return is_gradient(r.site); });
    const bool identical = std::all_of(run.results.begin(), run.results.end(),
                                       [](const SiteResult& r) { return r.replicas_identical; });
    const auto agreement = [](bool agrees, const std::string& text) {
      return agrees ? Table::Cell{text} : Table::Cell{"DIFFER", Ink::bad};
    };
    table.row(
        {{run.mesh.text()},
         {std::string(name(run.dtype))},
         {gradient ? error_text(gradient->rms) : "-"},
         {gradient ? error_text(gradient->bound.rms) : "-", Ink::dim},
         {error_of([](const SiteResult& r) { return r.site.ends_with("loss"); })},
         {error_of([](const SiteResult& r) { return r.site.ends_with("/norm"); })},
         {error_of([](const SiteResult& r) { return r.site.starts_with("after."); })},
         agreement(identical, "identical"),
         agreement(run.disagreement.empty(), fmt::format("{}, as predicted", run.events.size())),
         verdict(run.good())});
  }
  return table;
}

Table against_table(const TrainingReport& report) {
  Table table({{"mesh"},
               {"dtype"},
               {"tensors", Align::right},
               {"gradients", Align::right},
               {"losses", Align::right},
               {"norms", Align::right},
               {fmt::format("after {}", report.steps), Align::right},
               {"verdict"}});
  const auto row = [&](const std::string& mesh, DType dtype,
                       const std::vector<AgainstResult>& all) {
    if (all.empty()) return;
    const auto error_of = [&](auto&& wanted) -> std::string {
      const AgainstResult* w = worst(all, wanted);
      return w ? error_text(w->rms) : "-";
    };
    table.row({{mesh},
               {std::string(name(dtype))},
               {fmt::format("{}", all.size())},
               {error_of([](const AgainstResult& a) { return is_gradient(a.tensor); })},
               {error_of([](const AgainstResult& a) { return a.tensor.ends_with("loss"); })},
               {error_of([](const AgainstResult& a) { return a.tensor.ends_with("/norm"); })},
               {error_of([](const AgainstResult& a) { return a.tensor.starts_with("after."); })},
               verdict(std::all_of(all.begin(), all.end(),
                                   [](const AgainstResult& a) { return a.good; }))});
  };
  row("the reference", DType::f64, report.reference_against);
  for (const TrainingRun& run : report.runs) row(run.mesh.text(), run.dtype, run.against);
  return table;
}

// Rank 0's collectives of a step: how many and how many bytes, by phase, axis and operation.
Table step_table(const std::vector<const TrainingRun*>& runs) {
  Table table({{"mesh"},
               {"phase"},
               {"over"},
               {"collective"},
               {"calls", Align::right},
               {"payload", Align::right},
               {"rank 0 sends", Align::right}});
  for (const TrainingRun* run : runs) {
    struct Sum {
      int calls = 0;
      double payload = 0, wire = 0;
    };
    std::map<std::tuple<Phase, Axis, Op>, Sum> sums;
    for (const Event& e : run->events) {
      Sum& sum = sums[{e.phase, e.axis, e.op}];
      ++sum.calls;
      sum.payload += static_cast<double>(e.payload_bytes);
      sum.wire += static_cast<double>(e.wire_bytes);
    }
    std::string mesh = run->mesh.text();
    for (const auto& [key, sum] : sums) {
      table.row({{std::exchange(mesh, "")},
                 {std::string(name(std::get<Phase>(key)))},
                 {std::string(name(std::get<Axis>(key)))},
                 {std::string(name(std::get<Op>(key)))},
                 {fmt::format("{}", sum.calls)},
                 {human_bytes(sum.payload)},
                 {human_bytes(sum.wire)}});
    }
  }
  return table;
}

Table result_table(const TrainingRun& run) {
  Table table({{"what"},
               {"error", Align::right},
               {"bound", Align::right},
               {"largest", Align::right},
               {"its bound", Align::right},
               {"verdict"}});
  for (const SiteResult& r : run.results)
    table.row({{r.site},
               {error_text(r.rms)},
               {error_text(r.bound.rms), Ink::dim},
               {error_text(r.max_abs)},
               {error_text(r.bound.max_abs), Ink::dim},
               verdict(r.good)});
  return table;
}

}  // namespace

std::string report_text(const TrainingReport& report, bool all, bool colour) {
  const GptConfig& c = report.config;
  std::string text = fmt::format(
      "{}\n{} layers, {} heads, {} wide, vocabulary {}; {} x {} tokens and {} steps against the "
      "dense float64 reference\n\n",
      report.source, c.n_layer, c.n_head, c.n_embd, c.vocab_size, report.batch, report.length,
      report.steps);
  text += run_table(report).text(colour);
  if (!report.reference_against.empty())
    text += "\nagainst the other program's numbers\n" + against_table(report).text(colour);
  for (const TrainingRun& run : report.runs) {
    if (all)
      text += fmt::format("\n{}, {}\n{}", run.mesh.text(), name(run.dtype),
                          result_table(run).text(colour));
    if (!run.finding) continue;
    const std::string where = fmt::format("{}, {}: first wrong at {}", run.mesh.text(),
                                          name(run.dtype), run.finding->site);
    text += fmt::format("\n{}\n  {}\n  {}\n", ink(where, Ink::bad, colour), run.finding->where,
                        run.finding->cause);
  }
  std::vector<const TrainingRun*> communicating;
  for (const TrainingRun& run : report.runs)
    if (run.dtype == report.runs.back().dtype && !run.events.empty()) communicating.push_back(&run);
  if (!communicating.empty())
    text += fmt::format("\n{}\n{}",
                        ink(fmt::format("what crossed between ranks in a step, {}, {}",
                                        name(report.runs.back().dtype), name(report.algorithm)),
                            Ink::bold, colour),
                        step_table(communicating).text(colour));
  return text + fmt::format("\n{}\n", report.good() ? ink("verified", Ink::good, colour)
                                                    : ink("NOT verified", Ink::bad, colour));
}

nlohmann::ordered_json to_json(const TrainingReport& report) {
  const auto result = [](const std::string& name, const auto& r) {
    return Json{{"name", name},
                {"rms", r.rms},
                {"max_abs", r.max_abs},
                {"bound_rms", r.bound.rms},
                {"bound_max_abs", r.bound.max_abs},
                {"good", r.good}};
  };
  const auto against = [&](const std::vector<AgainstResult>& all) {
    Json list = Json::array();
    for (const AgainstResult& a : all) list.push_back(result(a.tensor, a));
    return list;
  };
  Json doc = {{"schema", 1},
              {"good", report.good()},
              {"source", report.source},
              {"config", config_to_json(report.config)},
              {"batch", report.batch},
              {"seq", report.length},
              {"steps", report.steps},
              {"algorithm", name(report.algorithm)},
              {"reference_against", against(report.reference_against)},
              {"runs", Json::array()}};
  for (const TrainingRun& run : report.runs) {
    Json results = Json::array(), collectives = Json::array();
    for (const SiteResult& r : run.results) {
      results.push_back(result(r.site, r));
      results.back()["replicas_identical"] = r.replicas_identical;
    }
    for (const Event& e : run.events)
      collectives.push_back({{"site", e.site->path()},
                             {"phase", name(e.phase)},
                             {"axis", name(e.axis)},
                             {"op", name(e.op)},
                             {"elements", e.elements},
                             {"payload_bytes", e.payload_bytes},
                             {"wire_bytes", e.wire_bytes}});
    Json finding;
    if (run.finding)
      finding = {{"site", run.finding->site},
                 {"where", run.finding->where},
                 {"cause", run.finding->cause}};
    doc["runs"].push_back({{"tp", run.mesh.tp},
                           {"dp", run.mesh.dp},
                           {"sp", run.mesh.sp},
                           {"regather", run.mesh.regather},
                           {"recompute", run.mesh.recompute},
                           {"zero", run.mesh.zero},
                           {"dtype", name(run.dtype)},
                           {"good", run.good()},
                           {"results", results},
                           {"against", against(run.against)},
                           {"collectives", collectives},
                           {"disagreement", run.disagreement},
                           {"finding", finding}});
  }
  return doc;
}

}  // namespace tplab::cli
