// The first seam below Comm: the ranks of a group make the same call, and nobody waits in vain.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/error.h"
#include "sim/post.h"

namespace tplab {

// Thrown in ranks whose run has failed on another rank. World rethrows the other's exception.
class PeerFailed : public Error {
 public:
  explicit PeerFailed(const std::string& rank_name)
      : Error(ErrorKind::run, "released, because " + rank_name + " failed", "") {}
};

// One rank's part of it, used by that rank's thread only.
class Agreement {
 public:
  Agreement(int rank, int size, Axis axis) : rank_(rank), size_(size), axis_(axis) {}
  virtual ~Agreement() = default;

  int rank() const { return rank_; }  // within the group
  int size() const { return size_; }
  Axis axis() const { return axis_; }  // a part's is that of the group it was part of

  // Returns once every rank of the group has posted the same; throws Error(run) on every rank if
  // they differ, or if one left, failed or waits for ever elsewhere.
  virtual void agree(const Post& call) = 0;

  // Collective, after agree(call): what every rank of the group says, by rank. For what a transport
  // has to know of its peers before it can move numbers.
  virtual std::vector<std::string> gather(const Post& /*call*/, const std::string& /*mine*/) {
    throw std::logic_error("this agreement gathers nothing");
  }

  // For what a transport waits for by itself, now and then: throws where that is in vain, since a
  // rank has failed or is gone.
  virtual void look(const Post& /*call*/) {}

  // Collective, after agree(call), which a group of one leaves out. The agreement among the ranks
  // of this one's color, in the order of (key, rank); null for a negative color.
  virtual std::unique_ptr<Agreement> split(const Post& call, int color, int key) = 0;

 private:
  int rank_, size_;
  Axis axis_;
};

}  // namespace tplab
