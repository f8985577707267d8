// Ring algorithms: n-1 steps, in each of which every rank sends one chunk to its right neighbour
// and receives one from its left. No rank ever sends more than its share, so the bandwidth is
// optimal. source: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms, 2009

#include <array>
#include <utility>

#include "sim/algorithms/table.h"

namespace tplab {

// Chunk c sets out from rank c+1 and goes right, every rank adding its own term, until it ends,
// complete, at rank c. With 4 ranks, the chunk that rank r sends in each step:
//
//             step 0   step 1   step 2   ends with
//   rank 0      3        2        1          0
//   rank 1      0        3        2          1
//   rank 2      1        0        3          2
//   rank 3      2        1        0          3
static void reduce_scatter_into(Links& links, const Exchange& x, Bytes result) {
  const int rank = links.rank(), n = links.size();
  const int right = on_ring(rank + 1, n), left = on_ring(rank - 1, n);
  const Array scratch = links.device().allocate(
      x.dtype, {2, static_cast<int64_t>(x.in.size()) / size_bytes(x.dtype) / n + 1});
  const Bytes buffers(static_cast<std::byte*>(scratch.data()),
                      static_cast<size_t>(scratch.bytes()));
  Bytes arriving = chunk(buffers, 0, 2, x.dtype), leaving = chunk(buffers, 1, 2, x.dtype);

  ConstBytes outgoing = chunk(x.in, rank - 1, n, x.dtype);
  for (int step = 0; step < n - 1; ++step) {
    const ConstBytes mine = chunk(x.in, rank - 2 - step, n, x.dtype);
    const Bytes arrived = arriving.first(mine.size());
    links.send_recv(right, outgoing, left, arrived);

    const bool complete = step == n - 2;
    const Bytes total = complete ? result : arrived;
    combine(links, x, std::array<const void*, 2>{arrived.data(), mine.data()}, total);
    outgoing = total;
    std::swap(arriving, leaving);
  }
}

// Every rank starts with chunk r and passes on, in each step, the chunk that it got in the last
// one.
//
//             step 0   step 1   step 2
//   rank 0      0        3        2
//   rank 1      1        0        3
//   rank 2      2        1        0
//   rank 3      3        2        1
static void all_gather_in_place(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const int right = on_ring(rank + 1, n), left = on_ring(rank - 1, n);
  for (int step = 0; step < n - 1; ++step) {
    links.send_recv(right, chunk(x.out, rank - step, n, x.dtype), left,
                    chunk(x.out, rank - step - 1, n, x.dtype));
  }
}

void ring_reduce_scatter(Links& links, const Exchange& x) { reduce_scatter_into(links, x, x.out); }

void ring_all_gather(Links& links, const Exchange& x) {
  copy(links, x.in, chunk(x.out, links.rank(), links.size(), x.dtype));
  all_gather_in_place(links, x);
}

void ring_all_reduce(Links& links, const Exchange& x) {
  reduce_scatter_into(links, x, chunk(x.out, links.rank(), links.size(), x.dtype));
  all_gather_in_place(links, x);
}

// The root sends to its right neighbour, which sends to its own, until the root's left has it.
void chain_broadcast(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const int right = on_ring(rank + 1, n), left = on_ring(rank - 1, n);
  if (rank != x.root) links.recv(left, x.out);
  if (right != x.root) links.send(right, x.out);
}

}  // namespace tplab
