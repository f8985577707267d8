// The pool a CPU device allocates from.
#pragma once

#include <memory>

#include "sim/memory_pool.h"

namespace tplab {

// Blocks are of a multiple of 64 bytes and start at one. Those of 2 MiB or more start at a multiple
// of 2 MiB and ask for huge pages: reading weights through 4 KiB pages costs decoding a good part
// of the memory's bandwidth.
std::shared_ptr<MemoryPool> make_cpu_memory();

}  // namespace tplab
