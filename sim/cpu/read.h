// Reading memory and nothing else: the limit of whatever must read it.
#pragma once

#include <span>

#include "sim/array.h"
#include "sim/threads/crew.h"

namespace tplab::cpu {

// Sums up the bits of all numbers, each lane those of its own contiguous part of each array, as
// when a matrix is shared out by rows.
void read(Crew& crew, std::span<const Array> arrays);

}  // namespace tplab::cpu
