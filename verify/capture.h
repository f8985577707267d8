// Collects what a run's ranks show, and puts shards back together.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/machine/rank.h"

namespace tplab {

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
  void stop(int rank) { of_ranks_[static_cast<size_t>(rank)].on = false; }

  // The sites in the order in which the ranks showed them.
  std::vector<CapturedSite> sites() const;

 private:
  struct Kept {
    std::string site, placement;
    int fused;
    Shape shape;
    std::vector<double> values;
  };
  struct alignas(64) OfRank final : public Recorder {
    void shown(const Shown& tensor, Device& device) override;

    bool on = true;
    std::vector<Kept> kept;
    std::set<std::string> names;
  };
  Mesh mesh_;
  std::vector<OfRank> of_ranks_;  // by tp index
};

}  // namespace tplab
