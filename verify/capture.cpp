#include "verify/capture.h"

#include <cstring>

#include "sim/tensor.h"

namespace tplab {

namespace {

// [rows, fused, sum of n] from arrays of [rows, fused, n]; fused n is the rank's width.
std::vector<double> join(const std::vector<std::vector<double>>& shards,
                         const std::vector<int64_t>& widths, int fused) {
  const auto blocks = static_cast<size_t>(fused);
  const size_t rows = shards[0].size() / static_cast<size_t>(widths[0]);
  std::vector<double> whole;
  whole.reserve(shards.size() * shards[0].size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t block = 0; block < blocks; ++block) {
      for (size_t r = 0; r < shards.size(); ++r) {
        const size_t width = static_cast<size_t>(widths[r]), n = width / blocks;
        const auto begin = shards[r].begin() + static_cast<std::ptrdiff_t>(row * width + block * n);
        whole.insert(whole.end(), begin, begin + static_cast<std::ptrdiff_t>(n));
      }
    }
  }
  return whole;
}

}  // namespace

// The dimension that the ranks share out; -1 where each has all of it.
int CapturedSite::shared_dimension() const {
  if (placement == placement_name<Varying>()) return local_shapes[0].dims() - 1;
  return placement == placement_name<VaryingT>() ? 1 : -1;
}

std::vector<double> CapturedSite::whole() const {
  if (const int shared = shared_dimension(); shared >= 0) {
    // Of what each rank has in a row, over the shared dimension and after it.
    std::vector<int64_t> widths;
    widths.reserve(local_shapes.size());
    for (const Shape& shape : local_shapes) widths.push_back(shape.from(shared).count());
    return join(per_rank, widths, fused);
  }
  std::vector<double> result = per_rank[0];
  if (placement == "partial") {
    for (size_t r = 1; r < per_rank.size(); ++r)
      for (size_t i = 0; i < result.size(); ++i) result[i] += per_rank[r][i];
  }
  return result;
}

Shape CapturedSite::shape() const {
  Shape shape = local_shapes[0];
  if (const int shared = shared_dimension(); shared >= 0) {
    for (size_t r = 1; r < local_shapes.size(); ++r) shape[shared] += local_shapes[r][shared];
  }
  return shape;
}

bool CapturedSite::replicas_identical() const {
  if (!is_replicated()) return true;
  for (const std::vector<double>& copy : per_rank) {
    if (copy.size() != per_rank[0].size() ||
        std::memcmp(copy.data(), per_rank[0].data(), copy.size() * sizeof(double)) != 0)
      return false;
  }
  return true;
}

Capture::Capture(const Mesh& mesh) : mesh_(mesh), of_ranks_(static_cast<size_t>(mesh.tp)) {}

std::vector<Recorder*> Capture::recorders() {
  std::vector<Recorder*> all(static_cast<size_t>(mesh_.ranks()));
  for (int t = 0; t < mesh_.tp; ++t)
    all[static_cast<size_t>(mesh_.rank(0, t))] = &of_ranks_[static_cast<size_t>(t)];
  return all;
}

void Capture::OfRank::shown(const Shown& tensor, Device& device) {
  if (!on || !names.insert(tensor.site).second) return;
  ShownSite& mine = kept.emplace_back(ShownSite{
      tensor.site, std::string(tensor.placement), tensor.fused, tensor.array.shape(), {}});
  mine.values.resize(static_cast<size_t>(tensor.array.count()));
  to_host(device, tensor.array, mine.values);
}

std::vector<ShownSite> Capture::take(const Rank& rank) {
  if (rank.dp_index() > 0) return {};
  OfRank& mine = of_ranks_[static_cast<size_t>(rank.index())];
  mine.on = false;
  return std::move(mine.kept);
}

std::vector<CapturedSite> captured_sites(int tp, std::vector<std::vector<ShownSite>> ranks) {
  ranks.resize(static_cast<size_t>(tp));
  std::vector<CapturedSite> sites;
  for (size_t i = 0; i < ranks[0].size(); ++i) {
    const ShownSite& first = ranks[0][i];
    CapturedSite& site =
        sites.emplace_back(CapturedSite{first.site, first.placement, first.fused, {}, {}});
    for (std::vector<ShownSite>& rank : ranks) {
      // Ranks run one program, so they show the same sites in the same order.
      if (i >= rank.size() || rank[i].site != site.site) continue;
      site.per_rank.push_back(std::move(rank[i].values));
      site.local_shapes.push_back(rank[i].shape);
    }
  }
  return sites;
}

}  // namespace tplab
