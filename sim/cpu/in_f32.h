// An operation on bf16, run as the one on f32 that it is: plain, and right for every operation.
#pragma once

#include <algorithm>
#include <vector>

#include "sim/device.h"
#include "sim/ops/operation.h"
#include "sim/threads/crew.h"

namespace tplab::cpu {

inline bool is_bf16(const Array* x) { return x && x->present() && x->dtype() == DType::bf16; }

template <class Op>
bool has_bf16(const Op& o) {
  const op::Arrays reads = o.reads(), writes = o.writes();
  return std::any_of(reads.begin(), reads.end(), is_bf16) ||
         std::any_of(writes.begin(), writes.end(), is_bf16);
}

// Stands f32 copies in for the bf16 arrays of an operation: what it reads is converted, what it
// writes is rounded, to nearest, when it is done. An operation must name all that it reads, also
// the old numbers of what it writes only in part.
class InF32 {
 public:
  template <class Op>
  InF32(Device& device, Crew& crew, Op& o) : crew_(crew) {
    // Pointers into o, which may be changed.
    for (const Array* x : o.reads()) note(const_cast<Array*>(x), &Copy::is_read);
    for (const Array* x : o.writes()) note(const_cast<Array*>(x), &Copy::is_written);
    stand_in(device);
  }
  InF32(const InF32&) = delete;
  InF32& operator=(const InF32&) = delete;

  void round() const;  // what was written, into where it belongs

 private:
  // Arrays that are the same numbers, as those of an operation in place are, have one copy.
  struct Copy {
    Array narrow, wide;
    bool is_read = false, is_written = false;
    std::vector<Array*> users = {};
  };
  void note(Array* x, bool Copy::*how);
  void stand_in(Device& device);

  Crew& crew_;
  std::vector<Copy> copies_;
};

}  // namespace tplab::cpu
