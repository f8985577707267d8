// How the processes of a job that no MPI brings together find one another: rank 0 listens where all
// know to call, hears who has come and tells all where the others listen.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/processes/launcher.h"
#include "sim/tcp/socket.h"

namespace tplab {

// Returns when all of `place.size` processes have come: a line to each of them, by rank; this one's
// own is closed. Who calls and is no process of this job is turned away and does no harm.
// Throws, on every process that is still there and with the rank's name, Error(usage) where place
// says neither host and port nor a file, and where processes contradict one another;
// Error(unavailable) where rank 0 cannot listen or is not there; Error(run) where another is not
// there when the time is up.
std::vector<Socket> meet(const JobPlace& place, double timeout_s);

}  // namespace tplab
