// A device that tells of each operation of another.
#pragma once

#include <memory>
#include <string_view>

#include "sim/device.h"

namespace tplab {

class Recorder;

// A recorder that is one of these too is told when each operation of a device with numbers begins
// and ends, by its kName (ops/). Moving data and what collectives are made of are not told:
// their times are the collectives' own.
class OperationTimes {
 public:
  virtual ~OperationTimes() = default;
  virtual void starts(std::string_view operation) = 0;
  virtual void ends() = 0;
};

// times: told when each begins and ends, for which each is waited for.   computed: told what each
// reads and writes (Recorder::computed), in order and without waiting.
// Either may be null; both outlive the device.
std::unique_ptr<Device> make_watched_device(std::unique_ptr<Device> device, OperationTimes* times,
                                            Recorder* computed);

// The device itself, or one that tells the recorder what it takes an interest in; may be null.
std::unique_ptr<Device> watched_for(Recorder* recorder, std::unique_ptr<Device> device);

}  // namespace tplab
