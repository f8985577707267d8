#include "cli/trace_table.h"

#include <fmt/format.h>

#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

std::vector<Communication> expected_of(const RankTraffic& rank) {
  std::vector<Communication> all;
  for (const PredictedEvent& e : rank.expected)
    all.push_back({e.site, e.phase, e.axis, e.op, e.payload_bytes, e.wire_bytes});
  return all;
}

std::vector<Communication> counted_of(const RankTraffic& rank) {
  std::vector<Communication> all;
  for (const Event& e : rank.counted)
    all.push_back({e.site->path(), e.phase, e.axis, e.op, e.payload_bytes, e.wire_bytes});
  return all;
}

TrafficSum total(const std::vector<Communication>& all) {
  TrafficSum sum;
  for (const Communication& c : all) sum += {1, c.payload_bytes, c.wire_bytes};
  return sum;
}

nlohmann::ordered_json json(const TrafficSum& t) {
  return {{"calls", t.calls}, {"payload_bytes", t.payload_bytes}, {"wire_bytes", t.wire_bytes}};
}

nlohmann::ordered_json json(const TrafficPair& pair) {
  return {{"expected", json(pair.expected)}, {"counted", json(pair.counted)}};
}

}  // namespace

TraceTable trace_table(const std::vector<RankTraffic>& ranks) {
  TraceTable table;
  for (size_t r = 0; r < ranks.size(); ++r) {
    table.ranks.push_back({total(expected_of(ranks[r])), total(counted_of(ranks[r]))});
    const std::string difference = first_disagreement(ranks[r].expected, ranks[r].counted);
    if (difference.empty() || !table.good()) continue;
    table.rank = static_cast<int>(r);
    table.disagreement = fmt::format("rank {}, {}", r, difference);
  }
  const RankTraffic& shown = ranks[static_cast<size_t>(table.rank)];
  table.sites = compare_traffic(expected_of(shown), counted_of(shown));
  return table;
}

void TraceTable::require_good() const {
  if (good()) return;
  throw Error(ErrorKind::run, "the run was not as predicted: " + disagreement,
              "see them side by side with tplab trace --table");
}

std::string TraceTable::text(const std::string& title, bool unfold, bool colour,
                             int columns) const {
  std::string text =
      fmt::format("{}collectives, and the bytes that rank {} sends in them\n\n", title, rank);
  text += sites.empty() ? "nothing is sent\n" : traffic_text(sites, unfold, colour, columns);
  if (!good()) return text + "\n" + ink("differs: " + disagreement, Ink::bad, colour) + "\n";
  const TrafficSum& sent = ranks[0].counted;
  const std::string verdict =
      fmt::format("counted = expected on {}: {} collectives, {} sent by rank 0",
                  ranks.size() == 1 ? "the rank" : fmt::format("all {} ranks", ranks.size()),
                  sent.calls, bytes_text(sent.wire_bytes));
  return text + "\n" + ink(verdict, Ink::good, colour) + "\n";
}

void TraceTable::add_to(nlohmann::ordered_json& document) const {
  document["good"] = good();
  document["disagreement"] = disagreement;
  document["ranks"] = nlohmann::ordered_json::array();
  for (size_t r = 0; r < ranks.size(); ++r) {
    nlohmann::ordered_json row = {{"rank", r}};
    row.update(json(ranks[r]));
    document["ranks"].push_back(row);
  }
  document["rank"] = rank;
  document["sites"] = nlohmann::ordered_json::array();
  for (const SiteTraffic& site : sites) {
    nlohmann::ordered_json row = {
        {"site", site.site}, {"op", name(site.op)}, {"axis", name(site.axis)}};
    for (Phase phase : {Phase::forward, Phase::backward, Phase::optimizer})
      row[std::string(name(phase))] = json(site.phases[static_cast<size_t>(phase)]);
    row["agrees"] = site.agrees();
    document["sites"].push_back(row);
  }
}

}  // namespace tplab::cli
