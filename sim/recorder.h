// The one seam to watch a run: what a rank tells, step by step, to whoever records it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sim/array.h"
#include "sim/call_site.h"
#include "sim/ops/operation.h"

namespace tplab {

class Device;
class Rank;
struct Event;
struct Operation;  // ops/list.h
struct Post;

// A tensor of a running model that a layer shows. `placement` is placement_name()'s; a "varying"
// array is this rank's part of the last dimension, which is `fused` blocks, each split over the
// ranks (3 for [q|k|v]), a "varying over T" one its part of T in [B, T, C].
struct Shown {
  int rank;  // within its tensor-parallel group
  int dp;    // which replica
  std::string site;
  std::string_view placement;
  const Array& array;
  int fused = 1;
  CallSite where = {};  // of show()
};

// An operation of a device, by its kName (ops/): arrays that it read, and arrays that it
// wrote or added to.
struct Computation {
  std::string_view operation;
  std::span<const Array*const> reads, writes;
  Cost cost;  // of an upload or a zero, none
};

// One for each rank (WorldOptions::recorders), called on that rank's thread only: the verifier's
// Capture, traces, pictures and the explorer are recorders. Arrays may be kept: a handle keeps the
// memory. A recorder takes what it is interested in.
class Recorder {
 public:
  virtual ~Recorder() = default;

  // Before the rank does anything. Where it is, rank.site() and rank.phase(), holds for each of the
  // calls that follow.
  virtual void begin(const Rank& /*rank*/) {}
  virtual void entered() {}  // a scope: rank.site() is its site already
  virtual void left() {}     //   and is so still
  // A tensor was made, or stated anew to be placed like this: enter() is such a statement.
  virtual void placed(const Array& /*array*/, std::string_view /*placement*/) {}
  virtual void shown(const Shown& /*tensor*/, Device& /*device*/) {}
  // Told by the meta device, and by others to a recorder that follows their operations, once each
  // has been given to the device.
  virtual void computed(const Computation& /*computation*/) {}
  virtual bool follows_operations() const { return false; }
  // Around a collective: what this rank gives, and what it holds afterwards (absent for a barrier
  // and a split; of send and recv, the one that there is). call.where says who asked for it.
  virtual void before(const Post& /*call*/, const Array& /*in*/) {}
  virtual void after(const Event& /*event*/, const Array& /*out*/) {}
};

// Tells it of an operation; absent arrays are left out.
void tell_computed(Recorder& recorder, const Operation& operation);
void tell_computed(Recorder& recorder, std::string_view operation, const op::Arrays& reads,
                   const op::Arrays& writes, const Cost& cost);

}  // namespace tplab
