// A recorded run as Chrome trace events, which Perfetto and chrome://tracing open.
#pragma once

#include <string>

#include "viz/recording/run_recording.h"

namespace tplab {

// A JSON object, an event a line, in the order of time. A replica is a process and a rank a thread
// of it. On each rank: a slice (ph X) for a phase, in it the scopes, in these the collectives, each
// divided into "waiting", until this rank knew that all of its ranks had come, and "moving". From
// the rank that came last, at the moment it came, an arrow (ph s and f, an id each) goes to each of
// the others, which it lets go on. A counter (ph C) a rank has the bytes sent so far. Times are
// microseconds with three decimals: exact.
//   format: "Trace Event Format", the Chromium project's document, and Perfetto's reader of it,
//   src/trace_processor/importers/json, by which an arrow is bound to the slice that is open
std::string trace_text(const RunRecording& run);

}  // namespace tplab
