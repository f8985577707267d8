// Collects what a run's ranks show, and puts shards back together.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/machine/rank.h"

namespace tplab {

// One site of one run, as one rank showed it.
struct ShownSite {
  std::string site, placement;
  int fused;
  Shape shape;
  std::vector<double> values;
};

// One site of one run, on every rank.
struct CapturedSite {
  std::string site;
  std::string placement;
  int fused = 1;
  std::vector<std::vector<double>> per_rank;  // this rank's array
  // Each rank's: they differ in the shared dimension alone.
  std::vector<Shape> local_shapes;

  // The logical tensor: rank 0's copy of a replicated one, the shards of a varying one side by
  // side along the dimension they share, the sum of a partial one.
  std::vector<double> whole() const;
  Shape shape() const;
  // Whether every rank holds the same bits; true where they hold different parts.
  bool replicas_identical() const;
  int shared_dimension() const;
  bool is_replicated() const { return placement == "invariant" || placement == "replicated"; }
};

// Records what the ranks of the first replica show, each site once: what is shown again, as when a
// block is run again in the backward pass, is not new.
class Capture {
 public:
  explicit Capture(const Mesh& mesh);

  // For WorldOptions: by global index.
  std::vector<Recorder*> recorders();
  // Called by a rank for itself: what it has shown, in that order; nothing of other replicas. From
  // then on it is not recorded. For the rank's body to return.
  std::vector<ShownSite> take(const Rank& rank);

 private:
  struct alignas(64) OfRank final : public Recorder {
    void shown(const Shown& tensor, Device& device) override;

    bool on = true;
    std::vector<ShownSite> kept;
    std::set<std::string> names;
  };
  Mesh mesh_;
  std::vector<OfRank> of_ranks_;  // by tp index
};

// The sites of the first replica, in the order in which its ranks showed them.   ranks: by global
// index, or those of the first replica by tp index
std::vector<CapturedSite> captured_sites(int tp, std::vector<std::vector<ShownSite>> ranks);

}  // namespace tplab
