// A device without numbers: it gives out memory that is not there and computes nothing, so that a
// program runs at any size in no time, and its collectives, its memory and what it would have
// computed can be seen. What the host reads from it is 1.
#pragma once

#include <memory>

#include "sim/device.h"

namespace tplab {

class Recorder;

// recorder: told every operation; may be null. Addresses are never given out twice.
std::unique_ptr<Device> make_meta_device(Recorder* recorder);

}  // namespace tplab
