// One rank's view of the machine: its device, its communicator, its ledger, and where it is.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>

#include "sim/comm.h"
#include "sim/device.h"
#include "sim/ledger.h"

namespace tplab {

// A tensor of a running model, shown to whoever watches the run. `placement` is "invariant",
// "replicated", "varying" or "partial"; a varying array is this rank's part of the last dimension,
// which is `fused` blocks, each split over the ranks (3 for [q|k|v]).
struct Sighting {
  int rank;
  std::string site;
  std::string_view placement;
  const Array& array;
  int fused = 1;
};
// Called on the rank's own thread, by all ranks at once.
using Observer = std::function<void(const Sighting&, Device&)>;

class Rank {
 public:
  Rank(int index, int size, std::unique_ptr<Device> device, const Observer* observer);

  int index() const { return index_; }
  int size() const { return size_; }  // how many ranks: tp
  Device& device() { return *device_; }
  Comm& comm() { return *comm_; }
  Ledger& ledger() { return ledger_; }

  // Shows a tensor at <current site>/<name> to the run's observer; costs nothing without one.
  void show(std::string_view name, std::string_view placement, const Array& array, int fused) {
    if (!observer_ || !*observer_) return;
    const Site* here = ledger_.site(site(), name);
    (*observer_)({index_, here->path(), placement, array, fused}, *device_);
  }

  // Where this rank is, readable by any thread (for error messages).
  const Site* site() const { return site_.load(std::memory_order_acquire); }

  // Until the returned scope ends, this rank is at <current site>/<name>.
  class [[nodiscard]] Scope {
   public:
    Scope(Rank& rank, std::string_view name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Rank& rank_;
    const Site* before_;
  };
  Scope at(std::string_view name) { return Scope(*this, name); }

 private:
  friend class World;
  int index_, size_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Comm> comm_;  // set by World before the body runs
  Ledger ledger_;
  const Observer* observer_;
  std::atomic<const Site*> site_;
};

}  // namespace tplab
