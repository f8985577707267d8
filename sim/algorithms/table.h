// The collective algorithms: a table of how each one moves the data and what that costs.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sim/links.h"

namespace tplab {

// What a formula depends on. `elements` counts the whole tensor: what every rank holds after an
// all-reduce or all-gather, and has before a reduce-scatter.
struct Traffic {
  int rank, n;
  int64_t elements;
  int root;
};

// What one rank sends in one call: for people, with S the whole tensor and n the ranks, and
// exactly.
struct Sent {
  std::string_view formula;  // of an average rank, where n divides S
  int64_t (*elements)(const Traffic& traffic);
};

// One way to run one collective. All leave identical bits on every rank, the same in every run.
struct AlgorithmRow {
  Op op;
  Algorithm algorithm;    // what was asked for
  std::string_view name;  // what runs, which may be another where that one has no meaning
  int (*steps)(int n);    // messages, one after the other, until the last rank is done
  Sent sent;
  void (*run)(Links& links, const Exchange& exchange);
};

std::span<const AlgorithmRow> algorithm_table();
// REQUIRES: a row for it. A communicator's own sums (Algorithm::library) are told as a ring's.
const AlgorithmRow& find_algorithm(Op op, Algorithm algorithm);

// Runs the call's: not a send, a recv, a barrier or a split.
void run_algorithm(Links& links, const Post& call, const Array& in, Array& out);

// Bytes this rank sends to others in one such call. Barrier and split move none, send and recv what
// they say; every other operation is in the table. `root` matters for broadcast only.
int64_t predicted_wire_bytes(Op op, Algorithm algorithm, int rank, int n, int64_t elements,
                             DType dtype, int root = 0);

// --- direct.cpp: reads and writes the peers' memory; where ranks see no memory but their own,
// sends as much in messages, counted alike. Sums in rank order.
void direct_all_reduce(Links& links, const Exchange& x);
void direct_all_gather(Links& links, const Exchange& x);
void direct_reduce_scatter(Links& links, const Exchange& x);
void direct_broadcast(Links& links, const Exchange& x);
void direct_all_to_all(Links& links, const Exchange& x);

// --- ring.cpp: each rank speaks to its right neighbour only. Chunk c sums from rank c+1 round to
// c.
void ring_all_reduce(Links& links, const Exchange& x);
void ring_all_gather(Links& links, const Exchange& x);
void ring_reduce_scatter(Links& links, const Exchange& x);
void chain_broadcast(Links& links, const Exchange& x);

// --- tree.cpp: a binomial tree. Few steps, whole tensors.
void tree_all_reduce(Links& links, const Exchange& x);
void tree_broadcast(Links& links, const Exchange& x);

// --- gather.cpp: every rank sends to every other and sums for itself, in rank order.
void gather_all_reduce(Links& links, const Exchange& x);
void gather_all_gather(Links& links, const Exchange& x);
void gather_reduce_scatter(Links& links, const Exchange& x);
void pairwise_all_to_all(Links& links, const Exchange& x);

}  // namespace tplab
