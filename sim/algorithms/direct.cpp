// Direct algorithms: ranks read and write each other's memory, as GPUs do over NVLink. One step,
// the bytes of a ring, and sums in rank order. The posts, on which all ranks have agreed, say where
// each rank's memory is; the rendezvous at the end gives it back to its owner.

#include <array>

#include "sim/algorithms/table.h"
#include "sim/machine/world.h"

namespace tplab {
namespace {

// Bytes [begin, begin + size) of a peer's input.
ConstBytes read_from(Links& links, int peer, size_t begin, size_t size) {
  const ConstBytes data(links.peer_in(peer) + begin, size);
  if (peer != links.rank()) links.count_access(peer, links.rank(), data);
  return data;
}

// Bytes [begin, begin + size) of all ranks' inputs, in rank order.
struct Terms {
  Terms(Links& links, size_t begin, size_t size) : count(static_cast<size_t>(links.size())) {
    for (size_t q = 0; q < count; ++q)
      of[q] = read_from(links, static_cast<int>(q), begin, size).data();
  }
  std::span<const void* const> span() const { return std::span(of).first(count); }

  const size_t count;
  std::array<const void*, kMaxRanks> of;
};

size_t offset_in(ConstBytes part, ConstBytes whole) {
  return static_cast<size_t>(part.data() - whole.data());
}

}  // namespace

// Rank r sums chunk r over all ranks and writes the sum into every rank's chunk r. Nobody else
// touches that chunk meanwhile, on any rank, so it is done in place.
void direct_all_reduce(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Bytes mine = chunk(x.out, rank, n, x.dtype);
  if (!mine.empty()) {
    const size_t begin = offset_in(mine, x.out);
    const Terms terms(links, begin, mine.size());
    std::array<void*, kMaxRanks> outs;
    outs[0] = mine.data();
    for (int step = 1; step < n; ++step) {
      const int peer = on_ring(rank + step, n);
      links.count_access(rank, peer, mine);
      outs[static_cast<size_t>(step)] = links.peer_out(peer) + begin;
    }
    combine_to_all(links, x, terms.span(), std::span(outs).first(terms.count), mine.size());
  }
  links.rendezvous();
}

void direct_reduce_scatter(Links& links, const Exchange& x) {
  const ConstBytes mine = chunk(x.in, links.rank(), links.size(), x.dtype);
  const Terms terms(links, offset_in(mine, x.in), mine.size());
  combine(links, x, terms.span(), x.out);
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
