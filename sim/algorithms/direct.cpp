// Direct algorithms: ranks read and write each other's memory, as GPUs do over NVLink. One step,
// the bytes of a ring, and sums in rank order. The posts, on which all ranks have agreed, say where
// each rank's memory is; the rendezvous at the end gives it back to its owner.

#include <algorithm>
#include <array>

#include "sim/algorithms/table.h"
#include "sim/machine/world.h"

namespace tplab {
namespace {

// A sum is passed on while it is still in the core's own cache.
constexpr size_t kPieceBytes = 128 << 10;

// Bytes [begin, begin + size) of a peer's input.
ConstBytes read_from(Links& links, int peer, size_t begin, size_t size) {
  const ConstBytes data(links.peer_in(peer) + begin, size);
  if (peer != links.rank()) links.count_access(peer, links.rank(), data);
  return data;
}

void write_to(Links& links, int peer, size_t begin, ConstBytes data) {
  links.count_access(links.rank(), peer, data);
  copy(links, data, {links.peer_out(peer) + begin, data.size()});
}

// out = the sum over the ranks, in rank order, of bytes [begin, begin + out.size()) of their
// inputs.
void sum_over_ranks(Links& links, const Exchange& x, size_t begin, Bytes out) {
  std::array<const void*, kMaxRanks> terms;
  const int n = links.size();
  for (int q = 0; q < n; ++q) {
    terms[static_cast<size_t>(q)] = read_from(links, q, begin, out.size()).data();
  }
  combine(links, x, std::span(terms).first(static_cast<size_t>(n)), out);
}

size_t offset_in(ConstBytes part, ConstBytes whole) {
  return static_cast<size_t>(part.data() - whole.data());
}

}  // namespace

// Rank r sums chunk r over all ranks and writes the sum into every rank's chunk r. Nobody else
// touches that chunk meanwhile, on any rank, so it is done in place.
void direct_all_reduce(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Bytes mine = chunk(x.out, rank, n, x.dtype);
  for (size_t done = 0; done < mine.size(); done += kPieceBytes) {
    const Bytes piece = mine.subspan(done, std::min(kPieceBytes, mine.size() - done));
    const size_t begin = offset_in(piece, x.out);
    sum_over_ranks(links, x, begin, piece);
    for (int step = 1; step < n; ++step) write_to(links, on_ring(rank + step, n), begin, piece);
  }
  links.rendezvous();
}

void direct_reduce_scatter(Links& links, const Exchange& x) {
  const ConstBytes mine = chunk(x.in, links.rank(), links.size(), x.dtype);
  sum_over_ranks(links, x, offset_in(mine, x.in), x.out);
  links.rendezvous();
}

// Every rank reads the others' shards, its right neighbour's first, so that not all read rank 0's.
void direct_all_gather(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  for (int step = 0; step < n; ++step) {
    const int peer = on_ring(rank + step, n);
    copy(links, read_from(links, peer, 0, x.in.size()), chunk(x.out, peer, n, x.dtype));
  }
  links.rendezvous();
}

void direct_broadcast(Links& links, const Exchange& x) {
  if (links.rank() != x.root) copy(links, read_from(links, x.root, 0, x.out.size()), x.out);
  links.rendezvous();
}

void direct_all_to_all(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const ConstBytes mine = chunk(x.in, rank, n, x.dtype);
  for (int step = 0; step < n; ++step) {
    const int peer = on_ring(rank + step, n);
    const ConstBytes part = read_from(links, peer, offset_in(mine, x.in), mine.size());
    copy(links, part, chunk(x.out, peer, n, x.dtype));
  }
  links.rendezvous();
}

}  // namespace tplab
