#include "sim/algorithms/table.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace tplab {
namespace {

// --- Steps.

int one(int) { return 1; }
int two(int) { return 2; }
int round(int n) { return n - 1; }
int two_rounds(int n) { return 2 * (n - 1); }
int depth(int n) {  // of a binomial tree: log2(n), rounded up
  int steps = 0;
  while ((1 << steps) < n) ++steps;
  return steps;
}
int up_and_down(int n) { return 2 * depth(n); }

// --- Elements that one rank sends, of a tensor of E elements. Divisible by n, these are the
// textbook's figures; where it is not, chunks differ by one.

int64_t chunk_of(const Traffic& t, int c) { return chunk_size(c, t.n, t.elements); }

// (n-1)/n E: every chunk but the one that ends here, or that the right neighbour began with.
int64_t all_but_mine(const Traffic& t) { return t.elements - chunk_of(t, t.rank); }
int64_t all_but_the_next(const Traffic& t) { return t.elements - chunk_of(t, t.rank + 1); }
// 2 (n-1)/n E.
int64_t ring_all_reduce_sends(const Traffic& t) { return all_but_mine(t) + all_but_the_next(t); }
// (n-1)/n E: the same chunk with each of the others, and for all_reduce back.
int64_t mine_each(const Traffic& t) { return (t.n - 1) * chunk_of(t, t.rank); }
int64_t mine_each_twice(const Traffic& t) { return 2 * mine_each(t); }
// (n-1) E.
int64_t whole_each(const Traffic& t) { return (t.n - 1) * t.elements; }

int64_t children(int relative, int n) {
  int64_t count = 0;
  for (int bit = 1; bit < n && !(relative & bit); bit <<= 1) count += relative + bit < n;
  return count;
}
int64_t whole_per_child(const Traffic& t) {
  return children(on_ring(t.rank - t.root, t.n), t.n) * t.elements;
}
int64_t whole_up_and_down(const Traffic& t) {
  return (t.rank == 0 ? 0 : t.elements) + children(t.rank, t.n) * t.elements;
}
int64_t whole_unless_last(const Traffic& t) {
  return on_ring(t.rank + 1, t.n) == t.root ? 0 : t.elements;
}
int64_t whole_unless_root(const Traffic& t) { return t.rank == t.root ? 0 : t.elements; }

constexpr Sent kMineEachTwice{"2 (n-1)/n S", mine_each_twice};
constexpr Sent kRingTwice{"2 (n-1)/n S", ring_all_reduce_sends};
constexpr Sent kWholeUpAndDown{"2 (n-1)/n S", whole_up_and_down};
constexpr Sent kWholeEach{"(n-1) S", whole_each};
constexpr Sent kMineEach{"(n-1)/n S", mine_each};
constexpr Sent kAllButTheNext{"(n-1)/n S", all_but_the_next};
constexpr Sent kAllButMine{"(n-1)/n S", all_but_mine};
constexpr Sent kWholeUnlessRoot{"(n-1)/n S", whole_unless_root};
constexpr Sent kWholeUnlessLast{"(n-1)/n S", whole_unless_last};
constexpr Sent kWholePerChild{"(n-1)/n S", whole_per_child};

// A name in brackets: that algorithm has no meaning here, and this one runs instead.
constexpr std::array kTable{
    AlgorithmRow{Op::all_reduce, Algorithm::direct, "direct", two, kMineEachTwice,
                 direct_all_reduce},
    AlgorithmRow{Op::all_reduce, Algorithm::ring, "ring", two_rounds, kRingTwice, ring_all_reduce},
    AlgorithmRow{Op::all_reduce, Algorithm::tree, "tree", up_and_down, kWholeUpAndDown,
                 tree_all_reduce},
    AlgorithmRow{Op::all_reduce, Algorithm::gather, "gather and sum", round, kWholeEach,
                 gather_all_reduce},

    AlgorithmRow{Op::all_gather, Algorithm::direct, "direct", one, kMineEach, direct_all_gather},
    AlgorithmRow{Op::all_gather, Algorithm::ring, "ring", round, kAllButTheNext, ring_all_gather},
    AlgorithmRow{Op::all_gather, Algorithm::tree, "(ring)", round, kAllButTheNext, ring_all_gather},
    AlgorithmRow{Op::all_gather, Algorithm::gather, "gather", round, kMineEach, gather_all_gather},

    AlgorithmRow{Op::reduce_scatter, Algorithm::direct, "direct", one, kMineEach,
                 direct_reduce_scatter},
    AlgorithmRow{Op::reduce_scatter, Algorithm::ring, "ring", round, kAllButMine,
                 ring_reduce_scatter},
    AlgorithmRow{Op::reduce_scatter, Algorithm::tree, "(ring)", round, kAllButMine,
                 ring_reduce_scatter},
    AlgorithmRow{Op::reduce_scatter, Algorithm::gather, "gather and sum", round, kAllButMine,
                 gather_reduce_scatter},

    AlgorithmRow{Op::broadcast, Algorithm::direct, "direct", one, kWholeUnlessRoot,
                 direct_broadcast},
    AlgorithmRow{Op::broadcast, Algorithm::ring, "chain", round, kWholeUnlessLast, chain_broadcast},
    AlgorithmRow{Op::broadcast, Algorithm::tree, "tree", depth, kWholePerChild, tree_broadcast},
    AlgorithmRow{Op::broadcast, Algorithm::gather, "(tree)", depth, kWholePerChild, tree_broadcast},

    AlgorithmRow{Op::all_to_all, Algorithm::direct, "direct", one, kMineEach, direct_all_to_all},
    AlgorithmRow{Op::all_to_all, Algorithm::ring, "(pairwise)", round, kAllButMine,
                 pairwise_all_to_all},
    AlgorithmRow{Op::all_to_all, Algorithm::tree, "(pairwise)", round, kAllButMine,
                 pairwise_all_to_all},
    AlgorithmRow{Op::all_to_all, Algorithm::gather, "(pairwise)", round, kAllButMine,
                 pairwise_all_to_all},
};

}  // namespace

std::span<const AlgorithmRow> algorithm_table() { return kTable; }

const AlgorithmRow& find_algorithm(Op op, Algorithm algorithm) {
  if (algorithm == Algorithm::library) algorithm = Algorithm::ring;  // what it is compared with
  for (const AlgorithmRow& row : kTable) {
    if (row.op == op && row.algorithm == algorithm) return row;
  }
  throw std::logic_error(fmt::format("no algorithm {} for {}", name(algorithm), name(op)));
}

void run_algorithm(Links& links, const Post& call, const Array& in, Array& out) {
  find_algorithm(call.op, call.algorithm)
      .run(links, {bytes_of(in), bytes_of(out), in.dtype(), call.reduce, call.peer});
}

int64_t predicted_wire_bytes(Op op, Algorithm algorithm, int rank, int n, int64_t elements,
                             DType dtype, int root) {
  const bool moves_nothing = op == Op::barrier || op == Op::split || op == Op::recv || n == 1;
  if (moves_nothing) return 0;
  if (op == Op::send) return elements * size_bytes(dtype);
  return find_algorithm(op, algorithm).sent.elements({rank, n, elements, root}) * size_bytes(dtype);
}

}  // namespace tplab
