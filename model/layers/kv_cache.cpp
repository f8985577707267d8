#include "model/layers/kv_cache.h"

#include <type_traits>

namespace tplab {

namespace {
KvPair allocate_pair(Rank& rank, DType dtype, const Shape& shape) {
  return {assume_placement<Varying>(rank, rank.device().allocate(dtype, shape)),
          assume_placement<Varying>(rank, rank.device().allocate(dtype, shape))};
}
}  // namespace

KvCache::KvCache(Rank& rank, const ShardPlan& plan, DType dtype, int64_t batch) {
  for_each_branch(plan.architecture(), [&](const auto& spec) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(spec)>, AttentionSpec>)
      layers_.push_back(allocate_pair(rank, dtype,
                                      {batch, plan.part(spec.kv_heads, 1, rank.index()).size(),
                                       plan.architecture().context, spec.head_size}));
  });
  const std::vector<int32_t> none(static_cast<size_t>(batch));
  past_.filled = ids_on_device(rank, none, {batch});
}

void KvCache::fill(int64_t positions) {
  past_.at_most = positions;
  Array filled = past_.filled.array();
  std::vector<int32_t> all(static_cast<size_t>(filled.count()), static_cast<int32_t>(positions));
  past_.filled.rank().device().upload({DType::i32, all.data(), filled.count()}, filled);
}

}  // namespace tplab
