#include "sim/rank.h"

namespace tplab {

Rank::Rank(const MeshPlace& place, std::unique_ptr<Device> device, const Observer* observer)
    : place_(place), device_(std::move(device)), observer_(observer), site_(ledger_.root()) {}

Rank::Scope::Scope(Rank& rank, std::string_view name) : rank_(rank), before_(rank.site()) {
  rank.site_.store(rank.ledger_.site(before_, name), std::memory_order_release);
}

Rank::Scope::~Scope() { rank_.site_.store(before_, std::memory_order_release); }

}  // namespace tplab
