// Gather and sum: every rank sends what it has to every other, and each sums for itself, in rank
// order. The most bytes of all, and the plainest. In step s rank r sends to r+s and receives from
// r-s, so that no rank is ever spoken to by two.

#include <algorithm>
#include <array>

#include "sim/algorithms/table.h"
#include "sim/machine/world.h"

namespace tplab {
namespace {

constexpr size_t kGatherPieceBytes = 1 << 20;  // so that n-1 peers' pieces do not take n-1 tensors

// Room for one piece from every rank; this rank's own is not used.
class Inbox {
 public:
  Inbox(Links& links, DType dtype, size_t piece_bytes)
      : size_(piece_bytes),
        memory_(links.device().allocate(
            dtype, {links.size(), static_cast<int64_t>(piece_bytes) / size_bytes(dtype)})) {}
  Bytes from(int rank, size_t bytes) const {
    return {static_cast<std::byte*>(memory_.data()) + static_cast<size_t>(rank) * size_, bytes};
  }

 private:
  size_t size_;
  Array memory_;
};

// out = the sum over the ranks of what arrived in the inbox, with this rank's own term in its
// place.
void sum_in_rank_order(Links& links, const Exchange& x, const Inbox& inbox, ConstBytes own,
                       Bytes out) {
  std::array<const void*, kMaxRanks> terms;
  const size_t n = static_cast<size_t>(links.size());
  for (size_t q = 0; q < n; ++q) terms[q] = inbox.from(static_cast<int>(q), out.size()).data();
  terms[static_cast<size_t>(links.rank())] = own.data();
  combine(links, x, std::span(terms).first(n), out);
}

}  // namespace

void gather_all_reduce(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Inbox inbox(links, x.dtype, std::min(x.out.size(), kGatherPieceBytes));
  for (size_t begin = 0; begin < x.out.size(); begin += kGatherPieceBytes) {
    const Bytes piece = x.out.subspan(begin, std::min(kGatherPieceBytes, x.out.size() - begin));
    for (int step = 1; step < n; ++step) {
      const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
      links.send_recv(to, piece, from, inbox.from(from, piece.size()));
    }
    sum_in_rank_order(links, x, inbox, piece, piece);
  }
}

void gather_all_gather(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  copy(links, x.in, chunk(x.out, rank, n, x.dtype));
  for (int step = 1; step < n; ++step) {
    const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
    links.send_recv(to, x.in, from, chunk(x.out, from, n, x.dtype));
  }
}

void gather_reduce_scatter(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Inbox inbox(links, x.dtype, x.out.size());
  for (int step = 1; step < n; ++step) {
    const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
    links.send_recv(to, chunk(x.in, to, n, x.dtype), from, inbox.from(from, x.out.size()));
  }
  sum_in_rank_order(links, x, inbox, chunk(x.in, rank, n, x.dtype), x.out);
}

void pairwise_all_to_all(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  copy(links, chunk(x.in, rank, n, x.dtype), chunk(x.out, rank, n, x.dtype));
  for (int step = 1; step < n; ++step) {
    const int to = on_ring(rank + step, n), from = on_ring(rank - step, n);
    links.send_recv(to, chunk(x.in, to, n, x.dtype), from, chunk(x.out, from, n, x.dtype));
  }
}

}  // namespace tplab
