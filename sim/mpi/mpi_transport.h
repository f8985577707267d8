// Moves numbers between ranks that are processes, by messages and any of the algorithms.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/device.h"
#include "sim/mpi/mpi_agreement.h"
#include "sim/transport.h"

namespace tplab {

class MpiTransport final : public Transport {
 public:
  MpiTransport(MpiAgreement& agreement, Device& device) : agreement_(agreement), device_(device) {}

  int64_t move(const Post& call, const Array& in, Array& out) override;
  std::unique_ptr<Transport> split(Agreement& part) override;  // REQUIRES: an MpiAgreement

 private:
  MpiAgreement& agreement_;
  Device& device_;
};

}  // namespace tplab
