// A verification report as JSON, with a stable schema.
#pragma once

#include <nlohmann/json.hpp>

#include "verify/verify.h"

namespace tplab {

// {"schema": 1, "good", "source", "config", "batch", "seq", "algorithm", "runs": [{"tp", "dtype",
//  "good", "loss", "reference_loss", "sites": [{"site", "placement", "rms", "max_abs", "bound_rms",
//  "bound_max_abs", "replicas_identical", "good"}], "decode", "against": [{"tensor", "site", "rms",
//  "max_abs", "bound_rms", "bound_max_abs", "good", "note", "difference", "why"}], "greedy_good",
//  "collectives": [{"rank", "site", "op", "elements", "payload_bytes", "wire_bytes", "us"}],
//  "disagreement", "ranks": [{"weights_bytes", "peak_bytes"}], "finding": {"site", "where",
//  "cause"}, "golden_finding"}], "reference_against", "not_compared": [{"tensor", "why"}],
//  "trace": null or {"file", "theirs", "runs", "entries", "values", "why_no_values", "difference":
//  null or {"run", "rank", "number", "site", "ours", "theirs", "in_values"}}}
// A number that is not finite is null.
nlohmann::ordered_json to_json(const Report& report);

// The parts that a report of training has too.
nlohmann::ordered_json to_json(const Architecture& architecture);
nlohmann::ordered_json to_json(const std::vector<AgainstResult>& all);
nlohmann::ordered_json to_json(const std::vector<NotCompared>& all);
nlohmann::ordered_json to_json(const std::optional<Finding>& finding);
nlohmann::ordered_json to_json(const std::optional<TraceComparison>& trace);

}  // namespace tplab
