// One call of a collective as one rank makes it: what the ranks of a group agree on.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/call_site.h"
#include "sim/error.h"
#include "sim/machine/ledger.h"

namespace tplab {

enum class Reduce { sum, max };

// What one rank asks for in one call. All posts of a call must agree in every field that is
// compared.
struct Post {
  uint64_t sequence = 0;  // how many calls this group has made before
  Op op = Op::barrier;
  Phase phase = Phase::forward;
  const Site* site = nullptr;  // compared by path
  int64_t elements = 0;
  DType dtype = DType::f32;
  Reduce reduce = Reduce::sum;
  Algorithm algorithm = Algorithm::direct;
  Axis axis = Axis::tp;      // of the group; not compared
  int peer = -1;             // a broadcast's root; who a send is to, a recv from
  const void* in = nullptr;  // this rank's numbers and where the result goes, for a transport that
  void* out = nullptr;       // reads its peers' memory; not compared
  CallSite where = {};       // who asked for it; not compared
  std::string text() const;  // "all_reduce #12 of 4096 f32 at block 3/attn"
};

bool agrees(const Post& a, const Post& b);
// The names of the fields in which two posts differ: op, elements. None if they agree.
std::vector<std::string_view> differences(const Post& a, const Post& b);

// "computing at block 3/attn": what a rank does that makes no call.
std::string computing_at(const Site* site);

// Who made which call, for the errors below, which every rank of a group throws alike. `group`:
// Mesh::group_name's.
struct Caller {
  std::string name;  // "rank 3"
  Post post;
};
// The calls of a group's ranks differ.
Error disagreement(std::span<const Caller> callers, const std::string& group);
// A recv met a message of another size or dtype.
Error other_message(const Caller& sender, const Caller& receiver, const std::string& group);

}  // namespace tplab
