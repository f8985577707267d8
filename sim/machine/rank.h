// One rank's view of the machine: its device, its communicator, its ledger, and where it is.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <utility>

#include "sim/clock.h"
#include "sim/comm.h"
#include "sim/device.h"
#include "sim/machine/ledger.h"
#include "sim/machine/mesh.h"
#include "sim/recorder.h"

namespace tplab {

// index(), size() and comm() are those of the tensor-parallel group, so that a model does not see
// replicas; what trains with several asks for dp_comm().
class Rank {
 public:
  // recorder: may be null. clock: null for the machine's.
  Rank(const Mesh& mesh, int global_index, std::unique_ptr<Device> device, Recorder* recorder,
       std::unique_ptr<const Clock> clock);

  int index() const { return mesh_.tp_index(global_index_); }
  int size() const { return mesh_.tp; }
  int dp_index() const { return mesh_.dp_index(global_index_); }
  int dp_size() const { return mesh_.dp; }
  const Mesh& mesh() const { return mesh_; }
  int global_index() const { return global_index_; }
  Device& device() const { return *device_; }
  Comm& comm() { return *comm_; }
  Comm& dp_comm() { return *dp_comm_; }  // the ranks with the same index() in every replica
  Ledger& ledger() { return ledger_; }
  const Clock& clock() const { return *clock_; }

  // Shows a tensor at <current site>/<name> to the run's recorder; costs nothing without one.
  void show(std::string_view name, std::string_view placement, const Array& array, int fused,
            CallSite where = here()) {
    if (!recorder_) return;
    const std::string path = ledger_.site(site(), name)->path();
    recorder_->shown({index(), dp_index(), path, placement, array, fused, where}, *device_);
  }
  // States how an array is placed from here on, for the run's recorder.
  void note_placed(const Array& array, std::string_view placement) {
    if (recorder_) recorder_->placed(array, placement);
  }
  Recorder* recorder() { return recorder_; }  // may be null

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

  Phase phase() const { return phase_; }

  // Until the returned guard ends, `member` has another value.
  template <class T>
  class [[nodiscard]] Change {
   public:
    Change(T& member, T value) : member_(member), before_(std::exchange(member, value)) {}
    ~Change() { member_ = before_; }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    T& member_;
    T before_;
  };
  // Collectives are recorded as of this phase.
  Change<Phase> during(Phase phase) { return {phase_, phase}; }
  // What happens is told to this recorder instead, or with null to none.
  Change<Recorder*> recorded_by(Recorder* recorder) { return {recorder_, recorder}; }

 private:
  friend class World;
  Mesh mesh_;
  int global_index_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Comm> comm_, dp_comm_;  // set by World before the body runs
  Ledger ledger_;
  Recorder* recorder_;
  Phase phase_ = Phase::forward;
  std::atomic<const Site*> site_;
  std::unique_ptr<const Clock> clock_;
};

}  // namespace tplab
