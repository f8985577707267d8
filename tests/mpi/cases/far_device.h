// A device whose memory the host does not reach, as a GPU's is: touching it outside of the device's
// own calls ends the process.
#pragma once

#include <memory>

#include "sim/device.h"

namespace tplab {

std::unique_ptr<Device> make_far_device(std::unique_ptr<Device> device);

}  // namespace tplab
