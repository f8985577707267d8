// This process, made one of those that an MPI launcher has started. The rest of tplab sees no more
// of MPI than this header.
#pragma once

#include <memory>
#include <string>

#include "sim/machine/processes.h"

namespace tplab {

// Null where no launcher has started this process, which then is the whole program: MPI is left
// alone. Else MPI is begun, and ends with what this returns.   version: of tplab, for messages
// Throws Error(usage) where the launcher is another MPI's, so that each process sees itself alone,
// and where the processes are not of one build. Where some do not come in so many seconds, which
// MPI would wait for for ever, says so and ends the process.
std::unique_ptr<Processes> join_mpi(const std::string& version, double patience_s = 300);

}  // namespace tplab
