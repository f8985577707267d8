// What `tplab trace --table` shows: the collectives of a step, expected beside counted.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/error.h"
#include "sim/machine/ledger.h"
#include "verify/predict.h"
#include "viz/recording/module_traffic.h"

namespace tplab::cli {

struct RankTraffic {
  std::vector<PredictedEvent> expected;
  std::vector<Event> counted;
};

struct TraceTable {
  int rank = 0;              // whose traffic `sites` is: the first rank that differs, or 0
  std::string disagreement;  // its first, as a sentence; empty if all ranks agree
  std::vector<SiteTraffic> sites;
  std::vector<TrafficPair> ranks;  // totals of each

  bool good() const { return disagreement.empty(); }
  void require_good() const;  // throws Error(run) that names the first rank that differs
  int exit_code() const { return good() ? 0 : static_cast<int>(ErrorKind::run); }
  std::string text(const std::string& title, bool unfold, bool colour, int columns = 80) const;
  // Appends to a document that says what ran.
  void add_to(nlohmann::ordered_json& document) const;
};

// by global index; at least one
TraceTable trace_table(const std::vector<RankTraffic>& ranks);

}  // namespace tplab::cli
