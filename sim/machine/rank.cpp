#include "sim/machine/rank.h"

namespace tplab {

Rank::Rank(const Mesh& mesh, int global_index, std::unique_ptr<Device> device, Recorder* recorder,
           std::unique_ptr<const Clock> clock)
    : mesh_(mesh),
      global_index_(global_index),
      device_(std::move(device)),
      recorder_(recorder),
      site_(ledger_.root()),
      clock_(clock ? std::move(clock) : std::make_unique<const SteadyClock>()) {
  if (recorder_) recorder_->begin(*this);
}

Rank::Scope::Scope(Rank& rank, std::string_view name) : rank_(rank), before_(rank.site()) {
  rank.site_.store(rank.ledger_.site(before_, name), std::memory_order_release);
  if (rank.recorder_) rank.recorder_->entered();
}

Rank::Scope::~Scope() {
  if (rank_.recorder_) rank_.recorder_->left();
  rank_.site_.store(before_, std::memory_order_release);
}

}  // namespace tplab
