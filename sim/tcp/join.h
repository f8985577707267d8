// This process, made one of a job's that meet by sockets, where no MPI brings them together.
#pragma once

#include <memory>
#include <string>

#include "sim/machine/processes.h"
#include "sim/processes/launcher.h"
#include "sim/processes/wire.h"

namespace tplab {

// Collective.   timeout_s: for all to come.   version: of tplab, for messages
// Throws what meet() throws, and Error(usage) where the processes are not of one build.
std::unique_ptr<Processes> join_tcp(const JobPlace& place, double timeout_s,
                                    const std::string& version);
// The same, of which a test asks more.
std::unique_ptr<Wire> make_tcp_wire(const JobPlace& place, double timeout_s);

}  // namespace tplab
