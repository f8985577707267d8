// What both of verify's reports say of a golden file, of a trace, and of what they found.
#pragma once

#include <string>
#include <vector>

#include "verify/verify.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

std::string error_text(double error);  // 1.2e-07
Table::Cell verdict(bool good);        // "ok" or "WRONG"
// Of a run's row beside a golden file: "ok"; "differs" where the golden file alone does, tplab
// being right by its reference; or "WRONG".
Table::Cell golden_verdict(bool run_is_right, bool golden_agrees);

// What the run that `where` names found: of tplab, and of the golden file.
std::string finding_text(const std::string& where, const tplab::Finding& finding, bool colour);
std::string golden_finding_text(const std::string& where, const tplab::Finding& finding,
                                bool colour);
// Of the reference, where no run says it.
std::string reference_differs_text(const std::vector<AgainstResult>& all, bool colour);

// What is compared in part, and what is not compared, and why: a line each. Those of one family, as
// grad.*, that are compared elsewhere share theirs.
std::string golden_notes_text(const std::vector<AgainstResult>& compared,
                              const std::vector<NotCompared>& not_compared);

// What a comparison with another run's trace came to.
std::string trace_comparison_text(const TraceComparison& trace, bool colour);

// The last line: what all of it comes to.
std::string verdict_line(const Report& report, bool colour);

}  // namespace tplab::cli
