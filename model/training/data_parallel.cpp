#include "model/training/data_parallel.h"

#include <algorithm>

namespace tplab {

MeshGradients sum_over_replicas(Rank& rank, const FlatParameters& parameters,
                                [[maybe_unused]] const Gradients& gradients, Zero zero) {
  auto scope = rank.at("replicas");
  const FlatLayout& layout = parameters.layout;
  const Array& all = parameters.gradients;
  if (zero == Zero::gradients && rank.dp_size() > 1) {
    const Range mine = layout.part(rank.dp_index());
    Array sum = rank.device().allocate(all.dtype(), Shape{mine.size()});
    rank.dp_comm().reduce_scatter(all, sum);
    return {sum, mine};
  }
  const int64_t bucket = kBucketBytes / size_bytes(all.dtype());
  for (int64_t begin = 0; begin < layout.count(); begin += bucket) {
    Array part = all.part(begin, Shape{std::min(bucket, layout.count() - begin)});
    rank.dp_comm().all_reduce(part);
  }
  return {all, {0, layout.count()}};
}

void gather_parts(Rank& rank, const FlatParameters& parameters) {
  auto scope = rank.at("replicas");
  const Range mine = parameters.layout.part(rank.dp_index());
  Array all = parameters.values;
  if (rank.dp_size() > 1) rank.dp_comm().all_gather(all.part(mine.begin, Shape{mine.size()}), all);
}

}  // namespace tplab
