#include "sim/machine/mesh.h"

#include <fmt/format.h>

namespace tplab {

std::vector<int> Mesh::tp_group(int dp_index) const {
  std::vector<int> ranks(static_cast<size_t>(tp));
  for (int t = 0; t < tp; ++t) ranks[static_cast<size_t>(t)] = rank(dp_index, t);
  return ranks;
}

std::vector<int> Mesh::dp_group(int tp_index) const {
  std::vector<int> ranks(static_cast<size_t>(dp));
  for (int d = 0; d < dp; ++d) ranks[static_cast<size_t>(d)] = rank(d, tp_index);
  return ranks;
}

std::string Mesh::rank_name(int rank) const {
  if (dp == 1) return fmt::format("rank {}", rank);
  return fmt::format("rank {} (dp {}, tp {})", rank, dp_index(rank), tp_index(rank));
}

std::string Mesh::group_name(const std::vector<int>& members, Axis axis) const {
  if (static_cast<int>(members.size()) == ranks()) return "";
  const std::string which = fmt::format(" among ranks {}", fmt::join(members, ", "));
  return dp == 1 ? which : fmt::format("{} ({})", which, name(axis));
}

}  // namespace tplab
