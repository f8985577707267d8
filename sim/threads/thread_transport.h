// Moves numbers between ranks that are threads of one process, by any of the algorithms. Their
// devices read each other's memory, or where those cannot (GPUs without peer access) copy from it.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/device.h"
#include "sim/threads/thread_agreement.h"
#include "sim/transport.h"

namespace tplab {

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(ThreadAgreement& agreement, Device& device);

  int64_t move(const Post& call, const Array& in, Array& out) override;
  std::unique_ptr<Transport> split(Agreement& part) override;  // REQUIRES: a ThreadAgreement

 private:
  ThreadAgreement& agreement_;
  Device& device_;
};

}  // namespace tplab
