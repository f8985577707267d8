#include "verify/capture.h"

#include <cstring>

#include "sim/tensor.h"

namespace tplab {

namespace {

// [rows, fused, tp, n] from tp arrays of [rows, fused, n].
std::vector<double> join(const std::vector<std::vector<double>>& shards, int64_t local_width,
                         int fused) {
  const auto width = static_cast<size_t>(local_width), blocks = static_cast<size_t>(fused);
  const size_t n = width / blocks, rows = shards[0].size() / width;
  std::vector<double> whole;
  whole.reserve(shards.size() * shards[0].size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t block = 0; block < blocks; ++block) {
      for (const std::vector<double>& shard : shards) {
        const auto begin = shard.begin() + static_cast<std::ptrdiff_t>(row * width + block * n);
        whole.insert(whole.end(), begin, begin + static_cast<std::ptrdiff_t>(n));
      }
    }
  }
  return whole;
}

}  // namespace

// The dimension that the ranks share out; -1 where each has all of it.
int CapturedSite::shared_dimension() const {
  if (placement == placement_name<Varying>()) return static_cast<int>(local_shape.size()) - 1;
  return placement == placement_name<VaryingT>() ? 1 : -1;
}

std::vector<double> CapturedSite::whole() const {
  if (const int shared = shared_dimension(); shared >= 0) {
    int64_t width = 1;  // of what one rank has in a row, over the shared dimension and after it
    for (size_t i = static_cast<size_t>(shared); i < local_shape.size(); ++i)
      width *= local_shape[i];
    return join(per_rank, width, fused);
  }
  std::vector<double> result = per_rank[0];
  if (placement == "partial") {
    for (size_t r = 1; r < per_rank.size(); ++r)
      for (size_t i = 0; i < result.size(); ++i) result[i] += per_rank[r][i];
  }
  return result;
}

std::vector<int64_t> CapturedSite::shape() const {
  std::vector<int64_t> shape = local_shape;
  if (const int shared = shared_dimension(); shared >= 0)
    shape[static_cast<size_t>(shared)] *= static_cast<int64_t>(per_rank.size());
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

Observer Capture::observer() {
  return [this](const Sighting& s, Device& device) {
    if (s.dp > 0) return;
    List& list = lists_[static_cast<size_t>(s.rank)];
    if (!list.on) return;
    Shown shown{s.site, std::string(s.placement), s.fused, {}, {}};
    for (int i = 0; i < s.array.shape().dims(); ++i) shown.shape.push_back(s.array.shape()[i]);
    shown.values.resize(static_cast<size_t>(s.array.count()));
    to_host(device, s.array, shown.values);
    list.shown.push_back(std::move(shown));
  };
}

std::vector<CapturedSite> Capture::sites() const {
  std::vector<CapturedSite> sites;
  for (size_t i = 0; i < lists_[0].shown.size(); ++i) {
    const Shown& first = lists_[0].shown[i];
    CapturedSite site{first.site, first.placement, first.fused, {}, first.shape};
    for (const List& list : lists_) {
      // Ranks run one program, so they show the same sites in the same order.
      if (i < list.shown.size() && list.shown[i].site == first.site)
        site.per_rank.push_back(list.shown[i].values);
    }
    sites.push_back(std::move(site));
  }
  return sites;
}

}  // namespace tplab
