#include "verify/report_json.h"

#include "model/checkpoints/config_json.h"
#include "model/files/json.h"

namespace tplab {

namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json site(const SiteResult& s) {
  return {{"site", s.site},
          {"placement", s.placement},
          {"rms", s.rms},
          {"max_abs", s.max_abs},
          {"bound_rms", s.bound.rms},
          {"bound_max_abs", s.bound.max_abs},
          {"replicas_identical", s.replicas_identical},
          {"good", s.good}};
}

Json collectives(const RunResult& run) {
  Json list = Json::array();
  for (size_t rank = 0; rank < run.events.size(); ++rank) {
    for (const Event& e : run.events[rank]) {
      list.push_back({{"rank", rank},
                      {"site", e.site->path()},
                      {"phase", name(e.phase)},
                      {"op", name(e.op)},
                      {"algorithm", name(e.algorithm)},
                      {"dtype", name(e.dtype)},
                      {"group_size", e.group_size},
                      {"elements", e.elements},
                      {"payload_bytes", e.payload_bytes},
                      {"wire_bytes", e.wire_bytes},
                      {"us", static_cast<double>(e.end_ns - e.start_ns) * 1e-3}});
    }
  }
  return list;
}

Json run_json(const RunResult& run, const Report& report) {
  Json json = {{"tp", run.mesh.tp},
               {"dtype", name(run.dtype)},
               {"good", run.good()},
               {"loss", or_null(run.loss)},
               {"reference_loss", or_null(run.reference_loss)},
               {"loss_error", run.loss_error},
               {"loss_bound", run.loss_bound},
               {"sites", Json::array()},
               {"decode", site(run.decode)},
               {"against", to_json(run.against)},
               {"greedy_tokens", run.greedy_tokens},
               {"greedy_good", or_null(run.greedy_good)},
               {"greedy_tie", run.greedy_tie},
               {"collectives", collectives(run)},
               {"disagreement", run.disagreement},
               {"ranks", Json::array()},
               {"finding", to_json(run.finding)},
               {"golden_finding", to_json(run.golden_finding)}};
  for (const SiteResult& s : run.results) json["sites"].push_back(site(s));
  const ShardPlan plan(report.architecture, run.mesh.tp, run.mesh.uneven);
  for (size_t r = 0; r < run.ranks.size(); ++r)
    json["ranks"].push_back(
        {{"weights_bytes", plan.local_count(static_cast<int>(r)) * size_bytes(run.dtype)},
         {"peak_bytes", run.ranks[r].memory.peak_bytes}});
  return json;
}

}  // namespace

Json to_json(const std::vector<AgainstResult>& all) {
  Json list = Json::array();
  for (const AgainstResult& a : all) {
    list.push_back({{"tensor", a.tensor},
                    {"site", a.site},
                    {"rms", a.rms},
                    {"max_abs", a.max_abs},
                    {"bound_rms", a.bound.rms},
                    {"bound_max_abs", a.bound.max_abs},
                    {"good", a.good},
                    {"note", a.note},
                    {"difference", a.difference},
                    {"why", a.why}});
  }
  return list;
}

Json to_json(const std::vector<NotCompared>& all) {
  Json list = Json::array();
  for (const NotCompared& n : all) list.push_back({{"tensor", n.tensor}, {"why", n.why}});
  return list;
}

Json to_json(const std::optional<Finding>& finding) {
  if (!finding) return nullptr;
  return {{"site", finding->site}, {"where", finding->where}, {"cause", finding->cause}};
}

Json to_json(const std::optional<TraceComparison>& trace) {
  if (!trace) return nullptr;
  Json json = {{"file", to_json_string(trace->path)},
               {"theirs", trace->theirs},
               {"runs", trace->runs},
               {"entries", trace->entries},
               {"values", trace->values},
               {"why_no_values", trace->why_no_values},
               {"difference", nullptr}};
  if (const auto& d = trace->difference)
    json["difference"] = {
        {"run", d->run},   {"rank", d->rank},     {"number", d->number},      {"site", d->site},
        {"ours", d->ours}, {"theirs", d->theirs}, {"in_values", d->in_values}};
  return json;
}

Json to_json(const Architecture& architecture) { return config_to_json(gpt_config(architecture)); }

Json to_json(const Report& report) {
  Json json = {{"schema", 1},
               {"good", report.good()},
               {"source", report.source},
               {"config", to_json(report.architecture)},
               {"batch", report.batch},
               {"seq", report.length},
               {"algorithm", name(report.algorithm)},
               {"runs", Json::array()},
               {"reference_against", to_json(report.reference_against)},
               {"not_compared", to_json(report.not_compared)},
               {"trace", to_json(report.trace)}};
  for (const RunResult& run : report.runs) json["runs"].push_back(run_json(run, report));
  return json;
}

}  // namespace tplab
