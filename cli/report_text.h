// The report of a forward verification as a person reads it.
#pragma once

#include <string>

#include "verify/verify.h"

namespace tplab::cli {

// The verification table, what is wrong if anything is, the collectives of a layer and the memory
// of each rank. all_sites: every compared site of every run as well.
std::string forward_report_text(const Report& report, bool all_sites, bool colour, int columns);

}  // namespace tplab::cli
