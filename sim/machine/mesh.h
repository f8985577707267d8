// The ranks as a mesh: dp replicas of a model, each shared out over tp ranks.
#pragma once

#include <cstddef>
#include <vector>

namespace tplab {

// The tp index changes fastest: the rank at (dp_index, tp_index) is dp_index tp + tp_index.
struct Mesh {
  int tp = 1, dp = 1;

  int ranks() const { return dp * tp; }
  int rank(int dp_index, int tp_index) const { return dp_index * tp + tp_index; }
  int tp_index(int rank) const { return rank % tp; }
  int dp_index(int rank) const { return rank / tp; }

  // The ranks of one replica, and those with the same part of every replica: by tp and dp index.
  std::vector<int> tp_group(int dp_index) const;
  std::vector<int> dp_group(int tp_index) const;
};

inline std::vector<int> Mesh::tp_group(int dp_index) const {
  std::vector<int> ranks(static_cast<size_t>(tp));
  for (int t = 0; t < tp; ++t) ranks[static_cast<size_t>(t)] = rank(dp_index, t);
  return ranks;
}

inline std::vector<int> Mesh::dp_group(int tp_index) const {
  std::vector<int> ranks(static_cast<size_t>(dp));
  for (int d = 0; d < dp; ++d) ranks[static_cast<size_t>(d)] = rank(d, tp_index);
  return ranks;
}

}  // namespace tplab
