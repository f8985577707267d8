#include "sim/nccl/gpu/communicator.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "sim/error.h"
#include "sim/nccl/gpu/library.h"

namespace tplab {

NcclCommunicator::NcclCommunicator(const ncclUniqueId& id, int rank, int size, std::string who,
                                   double timeout_s, std::function<void()> look_at_peers)
    : who_(std::move(who)), timeout_s_(timeout_s), look_at_peers_(std::move(look_at_peers)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;  // every call returns, and is then asked how far it is
  const ncclResult_t begun = nccl().comm_init(&comm_, size, id, rank, &config);
  settle(begun, "making a communicator");
}

void NcclCommunicator::settle(ncclResult_t result, std::string_view call) {
  using Clock = std::chrono::steady_clock;
  if (result == ncclSuccess) return;
  const auto begin = Clock::now();
  while (result == ncclInProgress) {
    const double waited = std::chrono::duration<double>(Clock::now() - begin).count();
    if (waited > timeout_s_)
      fail(fmt::format("{}: {} has not ended after {} s: a rank did not come to it, or is gone",
                       who_, call, timeout_s_));
    look_at_peers(waited);
    if (waited > 1e-3) std::this_thread::sleep_for(std::chrono::microseconds(100));
    ncclResult_t state = ncclInProgress;
    const ncclResult_t asked = nccl().async_error(comm_, &state);
    result = asked == ncclSuccess ? state : asked;
  }
  if (result != ncclSuccess)
    fail(fmt::format("{}: {}: {}: {}", who_, call, nccl().error_string(result),
                     nccl().last_error(comm_)));
}

// Not at once, and not each time: it costs a peer's line in /proc, or a message's.
void NcclCommunicator::look_at_peers(double waited_s) {
  constexpr double kBetween = 0.05;
  if (waited_s < kBetween) next_look_s_ = kBetween;
  if (waited_s < next_look_s_) return;
  next_look_s_ = waited_s + kBetween;
  try {
    look_at_peers_();
  } catch (...) {
    abort();
    throw;
  }
}

void NcclCommunicator::look(double waited_s, const Post& last) {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = nccl().async_error(comm_, &state);
  if (asked != ncclSuccess) state = asked;
  if (state != ncclSuccess && state != ncclInProgress)
    fail(fmt::format("{}: {}: {}: {}", who_, last.text(), nccl().error_string(state),
                     nccl().last_error(comm_)));
  if (waited_s > timeout_s_)
    fail(fmt::format("{}: has waited for its GPU for {} s, after {}: a peer is gone, or its GPU is",
                     who_, timeout_s_, last.text()));
  look_at_peers(waited_s);
}

void NcclCommunicator::fail(const std::string& problem) {
  abort();
  throw Error(ErrorKind::run, problem,
              "look at the other ranks' output first; NCCL_DEBUG=INFO makes NCCL say more");
}

void NcclCommunicator::abort() noexcept {
  const std::chrono::duration<double> patience(std::min(timeout_s_, 10.0));
  if (!comm_) return;
  const ncclComm_t comm = std::exchange(comm_, nullptr);
  try {
    int gpu = 0;
    static_cast<void>(cudaGetDevice(&gpu));
    const auto over = std::make_shared<std::promise<void>>();
    std::future<void> aborted = over->get_future();
    std::thread([comm, gpu, over] {
      static_cast<void>(cudaSetDevice(gpu));
      static_cast<void>(nccl().comm_abort(comm));
      over->set_value();
    }).detach();
    if (aborted.wait_for(patience) == std::future_status::ready) return;
  } catch (...) {  // no thread
    static_cast<void>(nccl().comm_abort(comm));
    return;
  }
  static_cast<void>(std::fprintf(
      stderr, "tplab: %s: NCCL does not let go of its peers, so this process ends here\n",
      who_.c_str()));
  ::_exit(1);
}

}  // namespace tplab
