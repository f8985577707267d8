// A collective algorithm as it really runs: who sent which chunk to whom, step by step. Recorded on
// numbers that say where they come from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/algorithms/table.h"
#include "sim/rank_set.h"

namespace tplab {

inline constexpr int kMostPicturedRanks = 16;

// What a rank holds: chunk -> of which ranks' terms it is the sum. The tensor is cut into n chunks;
// chunk c of an all_to_all is "c % n, for it, of rank c / n".
using Holding = std::map<int, RankSet>;

// Bytes that went from one rank to another, as the chunks in them.
struct Transfer {
  int step = 0;  // from 1: 1 + what sender and receiver had done before
  int from = 0, to = 0;
  Holding chunks = {};
  bool operator==(const Transfer&) const = default;
};

struct CollectiveRecord {
  const AlgorithmRow* row;
  int n = 0, root = 0;
  std::vector<Transfer> transfers = {};       // by step, from and to
  std::vector<Holding> begin = {}, end = {};  // by rank: what it was given, and what its output was
  std::vector<int64_t> chunks_sent =
      {};  // by rank: counted where bytes are moved, over a chunk's size
  int steps() const { return transfers.empty() ? 0 : transfers.back().step; }
};

// Runs the table's algorithm on the threads of n ranks.
// Throws Error(usage) for an n below 2 or above kMostPicturedRanks.
CollectiveRecord record_collective(const AlgorithmRow& row, int n, int root = 0);

// What each rank holds after each step ([0]: at first), [step][rank]: a rank adds to a sum the
// terms that it does not have yet, and takes a larger sum over a smaller one.
// Throws Error(run) if a rank sends what it does not hold.
std::vector<std::vector<Holding>> holdings(const CollectiveRecord& record);

// Throws Error(run) unless the transfers lead from `begin` to `end`, `end` is what the operation
// promises, and steps and bytes are those of the algorithm table.
void check(const CollectiveRecord& record);

std::string ranges_text(RankSet numbers);  // "0-3,5"
std::string in_braces(RankSet ranks);      // "{0-3,5}"

}  // namespace tplab
