#include "model/kv_cache.h"

namespace tplab {

namespace {
KvPair allocate_pair(Rank& rank, DType dtype, const Shape& shape) {
  return {assume_placement<Varying>(rank, rank.device().allocate(dtype, shape)),
          assume_placement<Varying>(rank, rank.device().allocate(dtype, shape))};
}
}  // namespace

KvCache::KvCache(Rank& rank, const ShardPlan& plan, DType dtype, int64_t batch) {
  const GptConfig& c = plan.config();
  for (int64_t i = 0; i < c.n_layer; ++i) {
    layers_.push_back(allocate_pair(
        rank, dtype, {batch, plan.heads(rank.index()).size(), c.block_size, c.head_size()}));
  }
}

}  // namespace tplab
