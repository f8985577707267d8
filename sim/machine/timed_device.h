// A device that tells when each operation of another begins and ends.
#pragma once

#include <memory>
#include <string_view>

#include "sim/device.h"

namespace tplab {

// A recorder that is one of these too is told when each operation of a device with numbers begins
// and ends, by its kName (ops/). Moving data and what collectives are made of are not told:
// their times are the collectives' own.
class OperationTimes {
 public:
  virtual ~OperationTimes() = default;
  virtual void starts(std::string_view operation) = 0;
  virtual void ends() = 0;
};

// times: outlives the device.
std::unique_ptr<Device> make_timed_device(std::unique_ptr<Device> device, OperationTimes& times);

}  // namespace tplab
