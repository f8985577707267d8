// What a rank sent, where in the model and when: every collective is one event.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/dtype.h"

namespace tplab {

enum class Phase { forward, backward, optimizer };
enum class Axis { tp, dp };  // of the mesh: over which ranks a collective goes
enum class Op {
  all_reduce,
  all_gather,
  reduce_scatter,
  broadcast,
  all_to_all,
  barrier,
  send,
  recv,
  split,
};
// library: the communicator's own sums (NCCL's), whose bits may change with the number of ranks.
enum class Algorithm { direct, ring, tree, gather, library };

std::string_view name(Phase phase);
std::string_view name(Axis axis);
std::string_view name(Op op);
std::string_view name(Algorithm algorithm);
Algorithm parse_algorithm(std::string_view text);  // throws Error(usage) that lists the names

// A place in the program, as a path of scopes: "block 3/attn". Made once per rank and place, never
// changed afterwards, so that other threads may read it.
struct Site {
  const Site* parent = nullptr;  // null for the root, whose path is ""
  std::string name;
  uint64_t hash = 0;  // of the path: equal paths have equal hashes on every rank
  std::string path() const;
};

struct Event {
  const Site* site = nullptr;
  Phase phase = Phase::forward;
  Axis axis = Axis::tp;
  Op op = Op::barrier;
  Algorithm algorithm = Algorithm::direct;
  DType dtype = DType::f32;
  int group_size = 1;
  int64_t elements = 0;       // of the whole tensor: what every rank holds after an all-reduce
  int64_t payload_bytes = 0;  // elements * size of one
  int64_t wire_bytes = 0;     // what this rank really sent to other ranks, counted at each send
  // On the rank's clock: from the call until this rank may go on. Until agreed_ns it waited for the
  // others to make the same call (of send and recv, which agree by moving, agreed_ns is start_ns).
  int64_t start_ns = 0, agreed_ns = 0, end_ns = 0;
  int64_t waiting_ns() const { return agreed_ns - start_ns; }
  int64_t moving_ns() const { return end_ns - agreed_ns; }
};

// One rank's ledger. Used by that rank's thread only, except sites, which are immutable.
class Ledger {
 public:
  Ledger();
  Ledger(Ledger&&) = default;
  Ledger& operator=(Ledger&&) = default;

  // The child of `parent` with this name; the same pointer every time.
  const Site* site(const Site* parent, std::string_view name);
  const Site* root() const { return root_.get(); }
  template <class F>
  void each_site(const F& f) const {  // but the root; in no order
    for (const auto& [hash, site] : sites_) f(site);
  }
  void record(const Event& event) {
    if (enabled_) events_.push_back(event);
  }
  const std::vector<Event>& events() const { return events_; }
  void clear() { events_.clear(); }
  // Off only to measure what the ledger itself costs.
  void enable(bool on) { enabled_ = on; }

 private:
  // Pointers to these stay valid as they grow, and as the ledger moves.
  std::unique_ptr<Site> root_;
  std::unordered_multimap<uint64_t, Site> sites_;  // by their hash
  std::vector<Event> events_;
  bool enabled_ = true;
};

}  // namespace tplab
