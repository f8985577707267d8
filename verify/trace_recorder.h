// Records what the ranks of a run do, for a trace of it.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sim/machine/rank.h"
#include "verify/run_trace.h"

namespace tplab {

// Every operation, every collective with the bits that it left, every tensor shown with its bits.
// All of them pass over the host, so this is for verification alone.
class TraceRecorders {
 public:
  // shown_to: recorders of what is shown, by global index or null; or none at all.
  // on: else nothing is recorded, and they are all that there are.
  TraceRecorders(bool on, const Mesh& mesh, std::vector<Recorder*> shown_to = {});

  // For WorldOptions: by global index.
  std::vector<Recorder*> recorders() const;

  // Called by a rank for itself: something that it ends with, as its loss.
  void result(const Rank& rank, std::string_view what, const Array& values);
  void result(const Rank& rank, std::string_view what, std::span<const double> values);
  // Likewise: what it did until now. For the rank's body to return.
  std::vector<TraceEntry> take(const Rank& rank);

 private:
  struct alignas(64) OfRank final : public Recorder {
    void begin(const Rank& rank) override;
    void shown(const Shown& tensor, Device& device) override;
    void computed(const Computation& computation) override;
    bool follows_operations() const override { return true; }
    void after(const Event& event, const Array& out) override;
    void add(std::string site, std::string did, const Array& values, int64_t elements);

    const Rank* rank = nullptr;
    Recorder* shown_to = nullptr;
    std::vector<TraceEntry> entries;
    std::string buffer;  // for the bytes of an array
  };
  OfRank* of(const Rank& rank) const;

  std::vector<Recorder*> shown_to_;
  std::vector<std::unique_ptr<OfRank>> of_ranks_;  // by global index; none where it is off
};

}  // namespace tplab
