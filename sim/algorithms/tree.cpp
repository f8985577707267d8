// Binomial tree: log2(n) steps, rounded up, so the latency is least; but the root sends and
// receives whole tensors. With 8 ranks and root 0, the parent of a rank is the rank without its
// lowest bit:
//
//                 0
//          _______|_______
//         4       2       1
//       __|__     |
//      6     5    3
//      |
//      7

#include <array>

#include "sim/algorithms/table.h"

namespace tplab {

// Leaves first: in step k, ranks with lowest bit k hand their sum to their parent and are done.
static void reduce_to_rank_0(Links& links, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const Array scratch =
      links.device().allocate(x.dtype, {static_cast<int64_t>(x.out.size()) / size_bytes(x.dtype)});
  const Bytes from_child(static_cast<std::byte*>(scratch.data()), x.out.size());
  for (int bit = 1; bit < n; bit <<= 1) {
    if (rank & bit) {
      links.send(rank - bit, x.out);
      return;
    }
    if (rank + bit < n) {
      links.recv(rank + bit, from_child);
      combine(links, x, std::array<const void*, 2>{x.out.data(), from_child.data()}, x.out);
    }
  }
}

// The root first, and the largest subtree first. Ranks count from the root: it is 0.
static void broadcast_from(int root, Links& links, const Exchange& x) {
  const int n = links.size(), relative = on_ring(links.rank() - root, n);
  int bit = 1;
  while (bit < n && !(relative & bit)) bit <<= 1;
  if (relative != 0) links.recv(on_ring(relative - bit + root, n), x.out);
  for (bit >>= 1; bit > 0; bit >>= 1) {
    if (relative + bit < n) links.send(on_ring(relative + bit + root, n), x.out);
  }
}

void tree_all_reduce(Links& links, const Exchange& x) {
  reduce_to_rank_0(links, x);
  broadcast_from(0, links, x);
}

void tree_broadcast(Links& links, const Exchange& x) { broadcast_from(x.root, links, x); }

}  // namespace tplab
