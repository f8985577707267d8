// The ranks as a mesh: dp replicas of a model, each shared out over tp ranks.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/machine/ledger.h"

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

  // For messages: "rank 3", or where there are replicas "rank 3 (dp 1, tp 1)"; and of a group
  // " among ranks 1, 3 (dp)", of all ranks nothing.
  std::string rank_name(int rank) const;
  std::string group_name(const std::vector<int>& members, Axis axis) const;
};

}  // namespace tplab
