// Moves numbers between ranks that are processes, by messages and any of the algorithms. Where the
// host does not reach the device's memory, a call's numbers are downloaded, summed on the host, in
// the same order, and uploaded again.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/device.h"
#include "sim/processes/message_agreement.h"
#include "sim/threads/crew.h"
#include "sim/transport.h"

namespace tplab {

// Whether the host may read and write the device's memory itself.
bool host_reaches(Device& device);

class MessageTransport final : public Transport {
 public:
  MessageTransport(MessageAgreement& agreement, Device& device);

  int64_t move(const Post& call, const Array& in, Array& out) override;
  std::unique_ptr<Transport> split(Agreement& part) override;  // REQUIRES: a MessageAgreement

 private:
  int64_t move_on(Device& device, const Post& call, const Array& in, Array& out);
  Array on_host(const Array& x);

  MessageAgreement& agreement_;
  Device& device_;
  Crew alone_{1};
  const std::unique_ptr<Device> host_;  // null where the host reaches the device's memory
};

}  // namespace tplab
