#include "cli/rank_report.h"

#include <fmt/format.h>

#include "cli/gpu_samples.h"
#include "sim/machine/imbalance.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"
#include "viz/pictures/timeline.h"

namespace tplab::cli {

namespace {

// Of the time that each computed.
std::vector<std::optional<double>> imbalances_of(const std::vector<WatchedRank>& ranks) {
  std::vector<std::optional<double>> computing;
  computing.reserve(ranks.size());
  for (const WatchedRank& rank : ranks)
    computing.push_back(static_cast<double>(rank.times.computing_ns));
  return imbalances(computing);
}

}  // namespace

std::string RanksReport::text(bool colour, int columns) const {
  using enum Table::Align;
  Table table({{"rank", right},
               {"computing", right},
               {"imbalance", right},
               {"waiting", right},
               {"moving", right},
               {"sent", right},
               {"memory", right},
               {"peak", right}});
  const auto imbalance = imbalances_of(ranks);
  for (size_t r = 0; r < ranks.size(); ++r) {
    const RankTimes& times = ranks[r].times;
    table.row({{fmt::format("{}", r)},
               {human_time(times.computing_ns / steps)},
               {imbalance_text(imbalance[r])},
               {human_time(times.waiting_ns / steps)},
               {human_time(times.moving_ns / steps)},
               {bytes_text(times.sent_bytes / steps)},
               {bytes_text(ranks[r].memory.current_bytes)},
               {bytes_text(ranks[r].memory.peak_bytes)}});
  }
  return table.text(colour, columns);
}

nlohmann::ordered_json RanksReport::json() const {
  using Json = nlohmann::ordered_json;
  const auto imbalance = imbalances_of(ranks);
  Json list = Json::array();
  for (size_t r = 0; r < ranks.size(); ++r) {
    const auto& [times, memory] = ranks[r];
    list.push_back({{"rank", r},
                    {"tp", mesh.tp_index(static_cast<int>(r))},
                    {"dp", mesh.dp_index(static_cast<int>(r))},
                    {"memory_bytes", memory.current_bytes},
                    {"memory_peak_bytes", memory.peak_bytes},
                    {"computing_ns", times.computing_ns},
                    {"waiting_ns", times.waiting_ns},
                    {"moving_ns", times.moving_ns},
                    {"calls", times.calls},
                    {"sent_bytes", times.sent_bytes},
                    {"imbalance", imbalance[r] ? Json(*imbalance[r]) : Json()}});
  }
  return {{"steps", steps}, {"ranks", list}};
}

std::string RanksReport::csv() const {
  std::string text;
  const nlohmann::ordered_json rows = json()["ranks"];
  for (const auto& row : rows) {
    std::string names, values;
    for (const auto& [name, value] : row.items()) {
      names += (names.empty() ? "" : ",") + name;
      values += (values.empty() ? "" : ",") + (value.is_null() ? ""
                                               : value.is_number_float()
                                                   ? fmt::format("{:.4f}", value.get<double>())
                                                   : fmt::format("{}", value.get<int64_t>()));
    }
    if (text.empty()) text = names + "\n";
    text += values + "\n";
  }
  return text;
}

}  // namespace tplab::cli
