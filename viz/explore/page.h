// The explorer as one HTML page that needs nothing else, and the recording as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "viz/explore/code.h"
#include "viz/explore/recording.h"

namespace tplab::explore {

struct PageOptions {
  bool diagrams = true;  // drawn by Graphviz, which may be absent
};

// Everything the page shows.
nlohmann::ordered_json page_data(const Recording& recording, const Sources& sources);

// Throws Error(unavailable) where diagrams are wanted and Graphviz is absent, Error(usage) for a
// page of more than 2 MB. The same bytes for the same recording.
std::string page(const Recording& recording, const PageOptions& options = {});

// What the ledgers counted, for `tplab explore --json`.
nlohmann::ordered_json totals_json(const Recording& recording);

// JSON that may stand in a <script>: no '<', '>' or '&'.
std::string script_json(const nlohmann::ordered_json& json);

}  // namespace tplab::explore
