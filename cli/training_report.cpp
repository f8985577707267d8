#include "cli/training_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "cli/golden_text.h"
#include "sim/text/bytes_text.h"
#include "verify/report_json.h"
#include "viz/drawing/tables.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;
using Align = Table::Align;

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

Table run_table(const Report& report) {
  Table table({{"mesh"},
               {"dtype"},
               {"gradients", Align::right},
               {"bound", Align::right},
               {"losses", Align::right},
               {"norms", Align::right},
               {fmt::format("after {}", report.steps), Align::right},
               {"replicas"},
               {"collectives", Align::right},
               {"verdict"}},
              2);
  for (const RunResult& run : report.runs) {
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
    table.row({{run.mesh.text()},
               {std::string(name(run.dtype))},
               {gradient ? error_text(gradient->rms) : "-"},
               {gradient ? error_text(gradient->bound.rms) : "-", Ink::dim},
               {error_of([](const SiteResult& r) { return r.site.ends_with("loss"); })},
               {error_of([](const SiteResult& r) { return r.site.ends_with("/norm"); })},
               {error_of([](const SiteResult& r) { return r.site.starts_with("after."); })},
               agreement(identical, "same"),
               agreement(run.disagreement.empty(),
                         fmt::format("{}", run.events.empty() ? 0 : run.events[0].size())),
               verdict(!run.finding)});
  }
  return table;
}

// What the columns mean.
std::string legend(const Report& report) {
  std::string text =
      "gradients    the worst parameter's error, over its size\n"
      "bound        the most that rounding may make of that error (of others: --sites)\n"
      "losses       the worst loss's error\n";
  if (report.steps > 0)
    text += fmt::format(
        "norms        of all gradients together, at each step\n"
        "after {:<6} the error of the parameters after {}\n",
        report.steps, counted(report.steps, "step"));
  return text +
         "replicas     what several ranks hold: the same bits on each\n"
         "collectives  of a rank and step: predicted in number and size\n";
}

// The meshes that could not run, those with one reason together.
std::string left_out_text(const Report& report) {
  std::vector<std::pair<std::string, std::string>> meshes_by_why;
  for (const LeftOut& left_out : report.left_out) {
    const auto known = std::find_if(meshes_by_why.begin(), meshes_by_why.end(),
                                    [&](const auto& entry) { return entry.first == left_out.why; });
    if (known == meshes_by_why.end()) {
      meshes_by_why.emplace_back(left_out.why, left_out.mesh.text());
    } else {
      known->second += "; " + left_out.mesh.text();
    }
  }
  std::string text;
  for (const auto& [why, meshes] : meshes_by_why)
    text += fmt::format("left out, as {}:\n  {}\n", why, meshes);
  return text.empty() ? "" : "\n" + text;
}

// What rounding may make anything of, so that no error of it is wrong.
std::string not_judged_text(const Report& report) {
  std::set<std::string> sites;
  for (const RunResult& run : report.runs)
    for (const SiteResult& r : run.results)
      if (std::isinf(r.bound.max_abs))
        sites.insert(fmt::format("{} ({})", r.site, name(run.dtype)));
  if (sites.empty()) return "";
  return fmt::format("\nnot judged, as rounding may make as much of it as it is itself:\n  {}\n",
                     fmt::join(sites, "\n  "));
}

Table against_table(const Report& report) {
  Table table({{"mesh"},
               {"dtype"},
               {"tensors", Align::right},
               {"gradients", Align::right},
               {"losses", Align::right},
               {"norms", Align::right},
               {fmt::format("after {}", report.steps), Align::right},
               {"verdict"}});
  const auto row = [&](const std::string& mesh, DType dtype, const std::vector<AgainstResult>& all,
                       bool right) {
    if (all.empty()) return;
    const auto error_of = [&](auto&& wanted) -> std::string {
      const AgainstResult* w = worst(all, wanted);
      return w ? error_text(w->rms) : "-";
    };
    table.row({{mesh},
               {std::string(name(dtype))},
               {fmt::format("{}", all.size())},
               {error_of([](const AgainstResult& a) { return is_gradient(a.site); })},
               {error_of([](const AgainstResult& a) { return a.site.ends_with("loss"); })},
               {error_of([](const AgainstResult& a) { return a.site.ends_with("/norm"); })},
               {error_of([](const AgainstResult& a) { return a.site.starts_with("after."); })},
               golden_verdict(right, std::all_of(all.begin(), all.end(),
                                                 [](const AgainstResult& a) { return a.good; }))});
  };
  row("the reference", DType::f64, report.reference_against, true);
  for (const RunResult& run : report.runs)
    row(run.mesh.text(), run.dtype, run.against, !run.finding);
  return table;
}

// Rank 0's collectives of a step: how many and how many bytes, by phase, axis and operation.
Table step_table(const std::vector<const RunResult*>& runs) {
  Table table({{"mesh"},
               {"phase"},
               {"over"},
               {"collective"},
               {"calls", Align::right},
               {"payload", Align::right},
               {"rank 0 sends", Align::right}},
              4);
  for (const RunResult* run : runs) {
    struct Sum {
      int calls = 0;
      int64_t payload = 0, wire = 0;
    };
    std::map<std::tuple<Phase, Axis, Op>, Sum> sums;
    for (const Event& e : run->events[0]) {
      Sum& sum = sums[{e.phase, e.axis, e.op}];
      ++sum.calls;
      sum.payload += e.payload_bytes;
      sum.wire += e.wire_bytes;
    }
    std::string mesh = run->mesh.text();
    for (const auto& [key, sum] : sums) {
      table.row({{std::exchange(mesh, "")},
                 {std::string(name(std::get<Phase>(key)))},
                 {std::string(name(std::get<Axis>(key)))},
                 {std::string(name(std::get<Op>(key)))},
                 {fmt::format("{}", sum.calls)},
                 {bytes_text(sum.payload)},
                 {bytes_text(sum.wire)}});
    }
  }
  return table;
}

Table result_table(const RunResult& run) {
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

// What the golden file has otherwise than tplab: the first run that finds it says it for all.
std::string golden_findings(const Report& report, bool colour) {
  size_t runs = 0;
  std::string text;
  for (const RunResult& run : report.runs) {
    if (!run.golden_finding || runs++ > 0) continue;
    text = golden_finding_text(fmt::format("{}, {}", run.mesh.text(), name(run.dtype)),
                               *run.golden_finding, colour);
  }
  if (runs > 1) text += fmt::format("  (so it does in {} runs)\n", runs);
  return runs > 0 ? text : reference_differs_text(report.reference_against, colour);
}

Json mesh_json(const Parallelism& mesh) {
  return {{"tp", mesh.tp},
          {"dp", mesh.dp},
          {"sp", mesh.sp},
          {"regather", mesh.regather},
          {"recompute", mesh.recompute},
          {"zero", mesh.zero}};
}

}  // namespace

std::string training_report_text(const Report& report, bool all, bool colour, int columns) {
  const Architecture& c = report.architecture;
  std::string text = fmt::format(
      "{}\n{} layers, {} heads, {} wide, vocabulary {}; {} x {} tokens and {} against the "
      "dense float64 reference\n\n",
      report.source, c.layers(), first_attention(c).heads, c.width, c.vocabulary, report.batch,
      report.length, counted(report.steps, "step"));
  text += run_table(report).text(colour, columns) + legend(report) + left_out_text(report) +
          not_judged_text(report);
  if (!report.reference_against.empty() || !report.not_compared.empty())
    text += "\nagainst the golden file\n" + against_table(report).text(colour, columns) +
            golden_notes_text(report.reference_against, report.not_compared);
  for (const RunResult& run : report.runs) {
    const std::string which = fmt::format("{}, {}", run.mesh.text(), name(run.dtype));
    if (all) text += fmt::format("\n{}\n{}", which, result_table(run).text(colour, columns));
    if (run.finding) text += finding_text(which, *run.finding, colour);
  }
  text += golden_findings(report, colour);
  std::vector<const RunResult*> communicating;
  for (const RunResult& run : report.runs)
    if (run.dtype == report.runs.back().dtype && !run.events.empty() && !run.events[0].empty())
      communicating.push_back(&run);
  if (!communicating.empty())
    text += fmt::format("\n{}\n{}",
                        ink(fmt::format("what crossed between ranks in a step, {}, {}",
                                        name(report.runs.back().dtype), name(report.algorithm)),
                            Ink::bold, colour),
                        step_table(communicating).text(colour, columns)) +
            "payload       of the tensors, whatever way they went\n"
            "rank 0 sends  its part in the algorithm; of a single number maybe none\n";
  if (report.trace) text += trace_comparison_text(*report.trace, colour);
  return text + "\n" + verdict_line(report, colour);
}

nlohmann::ordered_json training_report_json(const Report& report) {
  const auto result = [](const std::string& name, const auto& r) {
    return Json{{"name", name},
                {"rms", r.rms},
                {"max_abs", r.max_abs},
                {"bound_rms", r.bound.rms},
                {"bound_max_abs", r.bound.max_abs},
                {"good", r.good}};
  };
  Json doc = {{"schema", 1},
              {"good", report.good()},
              {"source", report.source},
              {"config", tplab::to_json(report.architecture)},
              {"batch", report.batch},
              {"seq", report.length},
              {"steps", report.steps},
              {"algorithm", name(report.algorithm)},
              {"reference_against", tplab::to_json(report.reference_against)},
              {"not_compared", tplab::to_json(report.not_compared)},
              {"left_out", Json::array()},
              {"runs", Json::array()},
              {"trace", tplab::to_json(report.trace)}};
  for (const LeftOut& left_out : report.left_out) {
    doc["left_out"].push_back(mesh_json(left_out.mesh));
    doc["left_out"].back()["why"] = left_out.why;
  }
  for (const RunResult& run : report.runs) {
    Json results = Json::array(), collectives = Json::array();
    for (const SiteResult& r : run.results) {
      results.push_back(result(r.site, r));
      results.back()["replicas_identical"] = r.replicas_identical;
    }
    if (!run.events.empty())
      for (const Event& e : run.events[0])
        collectives.push_back({{"site", e.site->path()},
                               {"phase", name(e.phase)},
                               {"axis", name(e.axis)},
                               {"op", name(e.op)},
                               {"elements", e.elements},
                               {"payload_bytes", e.payload_bytes},
                               {"wire_bytes", e.wire_bytes}});
    Json json = mesh_json(run.mesh);
    json.update(Json{{"dtype", name(run.dtype)},
                     {"good", run.good()},
                     {"results", results},
                     {"against", tplab::to_json(run.against)},
                     {"collectives", collectives},
                     {"disagreement", run.disagreement},
                     {"finding", tplab::to_json(run.finding)},
                     {"golden_finding", tplab::to_json(run.golden_finding)}});
    doc["runs"].push_back(std::move(json));
  }
  return doc;
}

}  // namespace tplab::cli
