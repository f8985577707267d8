#include "model/flat_layout.h"

#include <algorithm>

#include "sim/error.h"

namespace tplab {

namespace {

constexpr int64_t kAlignment = 16;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

Region region_of(const ParameterRow& row) {
  if (row.split != Split::whole) return row.decays ? Region::split_matrices : Region::split_vectors;
  if (row.gradient == GradientSum::ranks)  // neither region's sums are its own
    throw Error(ErrorKind::unavailable, text(row.id) + " cannot be trained or held yet",
                "use a model of nanoGPT's or GPT-2's kind");
  return row.gradient == GradientSum::none ? Region::whole_matrices : Region::whole_vectors;
}

}  // namespace

FlatLayout::FlatLayout(const ShardPlan& plan, int tp_rank, int dp)
    : dp_(dp), entry_of_row_(plan.rows().size()) {
  int64_t next = 0;
  for (Region region : {Region::split_matrices, Region::split_vectors, Region::whole_matrices,
                        Region::whole_vectors}) {
    const int64_t begin = next;
    for (size_t i = 0; i < plan.rows().size(); ++i) {
      const ParameterRow& row = plan.rows()[i];
      if (region_of(row) != region) continue;
      if (!row.joined) next = round_up(next, kAlignment);
      const int64_t count = plan.local_shape(row, tp_rank).count();
      entry_of_row_[i] = entries_.size();
      entries_.push_back({i, region, next, count, row.joined});
      next += count;
    }
    next = round_up(next, kAlignment);
    ranges_[static_cast<size_t>(region)] = {begin, next};
  }
  part_ = round_up((next + dp - 1) / dp, kAlignment);
}

Range intersection(Range a, Range b) {
  const int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

Range real_numbers(const FlatEntry& entry, const Slice& slice) {
  return {entry.first, entry.first + std::min(entry.count, slice.count())};
}

}  // namespace tplab
