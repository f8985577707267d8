// A training verification as a person reads it, and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "verify/verify.h"

namespace tplab::cli {

// A row a mesh, what is wrong if anything is, and what crossed between the ranks of a step.
// all: every gradient and parameter of every run as well.
std::string training_report_text(const Report& report, bool all, bool colour, int columns);

// {"schema": 1, "good", "source", "config", "batch", "seq", "steps", "algorithm",
//  "reference_against", "not_compared", "left_out": [{"tp", "dp", "sp", "regather", "recompute",
//  "zero", "why"}], "runs": [{"tp", "dp", "sp", "regather", "recompute", "zero", "dtype", "good",
//  "results": [{"name", "rms", "max_abs", "bound_rms", "bound_max_abs", "replicas_identical",
//  "good"}], "against", "collectives": [{"site", "phase", "axis", "op", "elements",
//  "payload_bytes", "wire_bytes"}], "disagreement", "finding", "golden_finding"}], "trace"}
// What a golden file or a trace was compared with is as in a forward verification
// (verify/report_json.h). Collectives are rank 0's in one step. A number that is not finite is
// null.
nlohmann::ordered_json training_report_json(const Report& report);

}  // namespace tplab::cli
