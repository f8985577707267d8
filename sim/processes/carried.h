// Which numbers travel in the envelope of a call: what its algorithm would send first.
#pragma once

#include "sim/links.h"
#include "sim/post.h"

namespace tplab {

enum class Carried {
  nothing,
  whole,      // all of a rank's numbers, to every peer
  parts,      // chunk q of them to rank q
  from_root,  // the root's, to every peer
};

// As much as this goes with an envelope. Measured (Open MPI 4.1, two processes of one machine):
// messages of up to 4 KiB go at once, and several of them are faster than a larger one, for which
// the receiver must be asked first.
constexpr size_t kMostCarried = 8192, kMostAtOnce = 4032;

// The same on all ranks that make the same call. `bytes`: of one rank's numbers.
inline Carried carried_in(const Post& call, int n, size_t bytes) {
  const auto few = [&](Carried what) {
    const size_t most = what == Carried::parts ? bytes / static_cast<size_t>(n) + 8 : bytes;
    return most <= kMostCarried ? what : Carried::nothing;
  };
  const bool directly = call.algorithm == Algorithm::direct;
  const bool to_all = directly || call.algorithm == Algorithm::gather;
  switch (call.op) {
    case Op::all_reduce:
      if (!to_all) return Carried::nothing;
      return few(!directly || (n == 2 && call.elements % 2 == 0) ? Carried::whole : Carried::parts);
    case Op::all_gather:
      return to_all ? few(Carried::whole) : Carried::nothing;
    case Op::reduce_scatter:
      return to_all ? few(Carried::parts) : Carried::nothing;
    case Op::all_to_all:
      return few(Carried::parts);
    case Op::broadcast:
      return directly ? few(Carried::from_root) : Carried::nothing;
    default:
      return Carried::nothing;
  }
}

// What of `in` goes to `peer` in it.
inline ConstBytes carried_to(Carried what, ConstBytes in, int peer, int n, DType dtype, bool root) {
  if (what == Carried::whole || (what == Carried::from_root && root)) return in;
  if (what == Carried::parts) return chunk(in, peer, n, dtype);
  return {};
}

}  // namespace tplab
