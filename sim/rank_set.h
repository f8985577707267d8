// A set of ranks as bits: bit r is rank r.
#pragma once

#include <cstdint>

namespace tplab {

using RankSet = uint64_t;
constexpr RankSet rank_set(int rank) { return RankSet{1} << rank; }
constexpr RankSet first_ranks(int n) { return ~RankSet{0} >> (64 - n); }  // REQUIRES: 1 <= n <= 64

}  // namespace tplab
