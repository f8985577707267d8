// Where each parameter of a rank lies in one flat list of numbers: values, gradients and optimizer
// states all have this order.
//
// One list, because what acts on all parameters acts on ranges of it: a data-parallel all-reduce on
// buckets, ZeRO on equal parts, the sum of small gradients under SP and weight decay on regions.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/shard_plan.h"

namespace tplab {

// The regions of the list, in order.
enum class Region {
  split_matrices,  // sharded over tp, with weight decay
  split_vectors,   // sharded over tp, without: the biases of column-parallel products
  whole_matrices,  // whole on every rank, with weight decay, as wpe; gradients are whole too
  whole_vectors,   // norms and biases on the residual stream: whole; under SP each rank has one
                   // term of their gradients
};

struct FlatEntry {
  size_t row;  // in plan.rows()
  Region region;
  int64_t first;  // of its numbers in the list; a multiple of 16 (64 bytes of f32), or, of a joined
                  // row, right behind those of the row before
  int64_t count;  // this rank's part of the parameter, padding included
  bool joined;    // the parameter's row is
};

class FlatLayout {
 public:
  // tp_rank: whose list. dp: how many data-parallel ranks share it out under ZeRO.
  FlatLayout(const ShardPlan& plan, int tp_rank, int dp);

  const std::vector<FlatEntry>& entries() const { return entries_; }  // in the list's order
  // Of plan.rows()[row].
  const FlatEntry& entry(size_t row) const { return entries_[entry_of_row_[row]]; }
  Range range(Region region) const { return ranges_[static_cast<size_t>(region)]; }

  int64_t count() const { return dp_ * part_; }  // a multiple of 16 dp; gaps hold zeros
  // The part that data-parallel rank `dp` owns under ZeRO.
  Range part(int dp) const { return {dp * part_, (dp + 1) * part_}; }

 private:
  int dp_;
  int64_t part_ = 0;
  std::vector<FlatEntry> entries_;
  std::vector<size_t> entry_of_row_;  // of entries_, by the plan's row
  std::array<Range, 4> ranges_;
};

constexpr bool decays(Region region) {
  return region == Region::split_matrices || region == Region::whole_matrices;
}

// What two ranges have in common; empty (begin == end) if nothing.
Range intersection(Range a, Range b);

// Of an entry's numbers in the list, those that are in the parameter, of which `slice` is the
// rank's: vocabulary padding lies at the end.
Range real_numbers(const FlatEntry& entry, const Slice& slice);

}  // namespace tplab
