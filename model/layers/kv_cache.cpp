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
}

}  // namespace tplab
