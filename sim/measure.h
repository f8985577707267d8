// What this machine can do at best: the limits that `tplab doctor` prints and `tplab bench` divides
// by.
//
// Every figure is the best of several runs, taken with the crew of a rank, so with as many threads
// and the same fork and join as an operation has. Memory is in blocks far larger than the caches.
#pragma once

#include <string>

#include "sim/dtype.h"
#include "sim/threads/crew.h"

namespace tplab {

// Bytes per second: summing at least 512 MiB of floats, and eight times the last-level cache where
// memory allows, each lane its own contiguous part.
double measure_read_bandwidth(Crew& crew);

// Bytes copied per second (each is read once and written once): memcpy of 256 MiB.
double measure_copy_bandwidth(Crew& crew);

// Floating-point operations per second, 2 m n k for a product: the best over square sizes and over
// two ways, Eigen's product with its columns split over the lanes, and Device::linear.
double measure_matmul_flops(Crew& crew, DType dtype);

// Throws Error(unavailable), which says both sizes, if `what` needs more than this machine's
// memory: before the work, not when the memory runs out.
void require_memory(const std::string& what, double bytes, const std::string& fix);

}  // namespace tplab
