// Direct algorithms: ranks read and write each other's memory, as GPUs do over NVLink. One step,
// the bytes of a ring, and sums in rank order. The posts, on which all ranks have agreed, say where
// each rank's memory is; the rendezvous at the end gives it back to its owner. Where ranks see no
// memory but their own, the owner sends what a peer would read: the same bytes, counted by the same
// ranks.

#include <array>

#include "sim/algorithms/table.h"
#include "sim/machine/world.h"

namespace tplab {
namespace {

constexpr size_t kMessageBytes = 1 << 20;  // so that n-1 peers' pieces do not take n-1 chunks

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

// Chunk r of all ranks' numbers, summed by rank r and sent to all: a piece at a time.
void all_reduce_by_messages(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Bytes mine = chunk(x.out, rank, n, x.dtype);
  const int64_t size = size_bytes(x.dtype);
  const int64_t elements = static_cast<int64_t>(x.out.size()) / size / n + 1;  // of any chunk
  const auto most = static_cast<size_t>(elements * size);
  const size_t piece = std::min(kMessageBytes, most);
  const Array memory = links.device().allocate(x.dtype, {n, static_cast<int64_t>(piece) / size});
  const auto inbox = [&](int peer, size_t bytes) {
    return Bytes(static_cast<std::byte*>(memory.data()) + static_cast<size_t>(peer) * piece, bytes);
  };
  const auto part_of = [](Bytes all, size_t begin) {
    begin = std::min(begin, all.size());
    return all.subspan(begin, std::min(kMessageBytes, all.size() - begin));
  };
  for (size_t begin = 0; begin < most; begin += kMessageBytes) {
    const Bytes sum = part_of(mine, begin);
    std::array<const void*, kMaxRanks> terms;
    terms[static_cast<size_t>(rank)] = sum.data();
    for (int step = 1; step < n; ++step) {
      const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
      const Bytes term = inbox(from, sum.size());
      links.trade(to, part_of(chunk(x.out, to, n, x.dtype), begin), from, term);
      terms[static_cast<size_t>(from)] = term.data();
    }
    combine(links, x, std::span(terms).first(static_cast<size_t>(n)), sum);
    for (int step = 1; step < n; ++step) {
      const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
      links.send_recv(to, sum, from, part_of(chunk(x.out, from, n, x.dtype), begin));
    }
  }
}

// Of two ranks each sends the other all that it has: as many bytes, in one step instead of two.
bool is_one_step(const Links& links, const Exchange& x) {
  return links.size() == 2 && x.out.size() % static_cast<size_t>(2 * size_bytes(x.dtype)) == 0;
}

void broadcast_by_messages(Links& links, const Exchange& x) {
  if (links.rank() != x.root) return links.take(x.root, x.out);
  for (int step = 1; step < links.size(); ++step)
    links.give(on_ring(x.root + step, links.size()), x.out);
}

size_t offset_in(ConstBytes part, ConstBytes whole) {
  return static_cast<size_t>(part.data() - whole.data());
}

}  // namespace

// Rank r sums chunk r over all ranks and writes the sum into every rank's chunk r. Nobody else
// touches that chunk meanwhile, on any rank, so it is done in place.
void direct_all_reduce(Links& links, const Exchange& x) {
  if (!links.peer_access())
    return is_one_step(links, x) ? gather_all_reduce(links, x) : all_reduce_by_messages(links, x);
  const int rank = links.rank(), n = links.size();
  const Bytes mine = chunk(x.out, rank, n, x.dtype);
  if (!mine.empty()) {
    const size_t begin = offset_in(mine, x.out);
    const Terms terms(links, begin, mine.size());
    std::array<void*, kMaxRanks> outs;
    outs[0] = mine.data();
    for (int step = 1; step < n; ++step)
      outs[static_cast<size_t>(step)] = links.peer_out(on_ring(rank + step, n)) + begin;
    combine_to_all(links, x, terms.span(), std::span(outs).first(terms.count), mine.size());
    for (int step = 1; step < n; ++step) links.count_access(rank, on_ring(rank + step, n), mine);
  }
  links.rendezvous();
}

void direct_reduce_scatter(Links& links, const Exchange& x) {
  if (!links.peer_access()) return gather_reduce_scatter(links, x);
  const ConstBytes mine = chunk(x.in, links.rank(), links.size(), x.dtype);
  const Terms terms(links, offset_in(mine, x.in), mine.size());
  combine(links, x, terms.span(), x.out);
  links.rendezvous();
}

// Every rank reads the others' shards, its right neighbour's first, so that not all read rank 0's.
void direct_all_gather(Links& links, const Exchange& x) {
  if (!links.peer_access()) return gather_all_gather(links, x);
  const int rank = links.rank(), n = links.size();
  for (int step = 0; step < n; ++step) {
    const int peer = on_ring(rank + step, n);
    copy(links, read_from(links, peer, 0, x.in.size()), chunk(x.out, peer, n, x.dtype));
  }
  links.rendezvous();
}

void direct_broadcast(Links& links, const Exchange& x) {
  if (!links.peer_access()) return broadcast_by_messages(links, x);
  if (links.rank() != x.root) copy(links, read_from(links, x.root, 0, x.out.size()), x.out);
  links.rendezvous();
}

void direct_all_to_all(Links& links, const Exchange& x) {
  if (!links.peer_access()) return pairwise_all_to_all(links, x);
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
