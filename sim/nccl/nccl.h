// NCCL, which moves numbers between GPUs, one rank a GPU. It is loaded when it is first needed; in
// a build without it all of this says so.
#pragma once

#include <memory>
#include <string>

#include "sim/agreement.h"
#include "sim/device.h"
#include "sim/transport.h"

namespace tplab {

class CudaRuntime;

// What doctor says of NCCL. Never throws.
struct NcclReport {
  std::string problem, fix;  // empty: NCCL can be used
  std::string built, found;  // "2.28.9"; "2.28.9 (libnccl.so.2)"
};
NcclReport nccl_report();

// Throws Error(unavailable), with the way out, where NCCL is missing or of another version.
void check_nccl();

// Throws as check_nccl(). True of a library that moves host memory, as tests/fake_nccl does: its
// ranks are on device cuda-host.
bool nccl_is_a_stand_in();

// What is given to a rank's stream, in the order of its other work; nothing waits for it here. By
// Algorithm:
//   direct            each rank sums its part in rank order, of what all others sent it, and all
//                     gather the parts: the same bits on every rank, and as on threads
//   ring, tree, gather  the table's, over NCCL's messages
//   library           NCCL's own sums, whose bits depend on the number of ranks, on sizes and on
//                     NCCL's version
// What can wait for ever (a communicator being made, the stream) is looked at against timeout_s;
// a failure aborts the communicator, and where NCCL does not let go of that either, ends the
// process with the rank's name.
//   device: the rank's, for sums; runtime: beneath it
std::unique_ptr<Transport> make_nccl_transport(Agreement& agreement, Device& device,
                                               CudaRuntime& runtime, double timeout_s);

}  // namespace tplab
