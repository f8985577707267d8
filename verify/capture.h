// Collects what a run's ranks show, and puts shards back together.
#pragma once

#include <string>
#include <vector>

#include "sim/rank.h"

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

// Of the first replica. Safe to be shown things by all ranks at once: each has a list of its own.
class Capture {
 public:
  explicit Capture(int ranks) : lists_(static_cast<size_t>(ranks)) {}

  Observer observer();
  void stop(int rank) { lists_[static_cast<size_t>(rank)].on = false; }

  // The sites in the order in which the ranks showed them.
  std::vector<CapturedSite> sites() const;

 private:
  struct Shown {
    std::string site, placement;
    int fused;
    Shape shape;
    std::vector<double> values;
  };
  struct alignas(64) List {
    bool on = true;
    std::vector<Shown> shown;
  };
  std::vector<List> lists_;
};

}  // namespace tplab
