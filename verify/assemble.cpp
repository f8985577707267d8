#include "verify/assemble.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tplab {

Assembler::Assembler(const ShardPlan& plan, int dp) : plan_(plan), dp_(dp) {
  layouts_.reserve(static_cast<size_t>(plan.tp()));
  for (int rank = 0; rank < plan.tp(); ++rank) layouts_.emplace_back(plan, rank, dp);
}

Assembled Assembler::assemble(const NamedTensor& tensor, const std::vector<Array>& ranks) const {
  Assembled result;
  result.whole.assign(static_cast<size_t>(tensor.shape.count()), std::nan(""));
  for (size_t i = 0; i < tensor.rows; ++i) add_row(tensor.first_row + i, ranks, result);
  return result;
}

void Assembler::add_row(size_t row, const std::vector<Array>& ranks, Assembled& result) const {
  const ParameterRow& info = plan_.rows()[row];
  const int tp = plan_.tp();
  const auto entry = [&](int rank) -> const FlatEntry& {
    return layouts_[static_cast<size_t>(rank % tp)].entry(row);
  };
  const auto part = [&](int rank) {
    return ranks[static_cast<size_t>(rank)].part(entry(rank).first, Shape{entry(rank).count});
  };
  const auto same_bits = [&](int a, int b) {
    const Array one = part(a), other = part(b);
    return std::memcmp(one.data(), other.data(), static_cast<size_t>(one.bytes())) == 0;
  };

  const int64_t cols = cols_of(info.shape);
  for (int r = 0; r < tp; ++r) {
    const Array mine = part(r);
    const Slice slice = plan_.saved_slice(info, r);
    dispatch(mine.dtype(), [&](auto zero) {
      const auto* from = mine.as<decltype(zero)>();
      for (const Range& rows : slice.rows)
        for (int64_t i = rows.begin; i < rows.end; ++i, from += slice.cols.size())
          std::copy_n(from, slice.cols.size(), result.whole.data() + i * cols + slice.cols.begin);
    });
    for (int d = 1; d < dp_; ++d) result.replicas_identical &= same_bits(d * tp + r, r);
    if (info.split == Split::whole) result.replicas_identical &= same_bits(r, 0);
  }
}

}  // namespace tplab
