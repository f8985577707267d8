// What this machine can do at best: what `tplab doctor` prints, and the limits of `tplab bench`.
//
// Every figure is the best of several runs, taken with the crew of a rank, so with as many threads
// and the same fork and join as an operation has. Memory is in blocks far larger than the caches.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sim/device.h"
#include "sim/dtype.h"
#include "sim/threads/crew.h"

namespace tplab {

struct ReadBandwidth {
  double bytes_per_second;
  int64_t bytes;       // that were read, again and again
  bool partly_cached;  // there is too little memory for a buffer that the last cache does not
                       // matter to
};

// Reading at least 512 MiB, and eight times the last-level cache where a quarter of the memory
// allows, each lane its own contiguous part.
ReadBandwidth measure_read_bandwidth(Crew& crew);

// Bytes copied per second (each is read once and written once): memcpy of 256 MiB.
double measure_copy_bandwidth(Crew& crew);

// Floating-point operations per second, 2 m n k for a product: the best over square sizes and over
// two ways, Eigen's product with its columns split over the lanes, and op::Linear. Of f32 or f64.
double measure_matmul_flops(Crew& crew, DType dtype);

// A product of matrices of every rank of a world, to be timed beside other work of the same
// threads: what the machine can do at that moment.
class MatmulProbe {
 public:
  MatmulProbe(Device& device, DType dtype, int ranks);
  void run();  // this rank's part
  // Of all ranks together, on a device of that name.
  static double flops(int ranks, std::string_view device);

 private:
  Device& device_;
  Array a_, b_, c_;  // c = a bᵀ   a: [n, n]   b: [n/ranks, n]
};

// Throws Error(unavailable), which says both sizes, if `what` needs more memory than this machine
// has or this process may have: before the work, not when the memory runs out.
void require_memory(const std::string& what, double bytes, const std::string& fix);

}  // namespace tplab
