// A run of two ranks with times that are made up, so that pictures of it are always the same.
#pragma once

#include <string>

#include "viz/recording/run_recording.h"

namespace tplab::testing {

struct FixedTimes {
  int64_t start_ns, agreed_ns, end_ns;
};

inline CollectiveSpan fixed_collective(FixedTimes when, const std::string& site, Phase phase,
                                       uint64_t sequence, int depth) {
  CollectiveSpan span;
  span.start_ns = when.start_ns;
  span.agreed_ns = when.agreed_ns;
  span.end_ns = when.end_ns;
  span.event = {.phase = phase,
                .axis = Axis::tp,
                .op = Op::all_reduce,
                .group_size = 2,
                .elements = 256,
                .payload_bytes = 1024,
                .wire_bytes = 1024};
  span.site = site;
  span.sequence = sequence;
  span.depth = depth;
  return span;
}

// Both ranks begin at 5000 on the clock. Forward: rank 1 is late. Backward: rank 0 is, which rank 1
// knows 1000 later.
inline std::vector<RankRecording> fixed_ranks() {
  RankRecording a;
  a.start_ns = 5000;
  a.end_ns = 105000;
  a.phases = {{{5000, 55000}, Phase::forward}, {{55000, 105000}, Phase::backward}};
  a.scopes = {{{10000, 50000}, "block 0", Phase::forward, 0},
              {{12000, 45000}, "block 0/attn", Phase::forward, 1},
              {{60000, 95000}, "block 0", Phase::backward, 0}};
  a.collectives = {fixed_collective({20000, 30000, 40000}, "block 0/attn", Phase::forward, 7, 2),
                   fixed_collective({85000, 85000, 90000}, "block 0", Phase::backward, 8, 1)};
  a.operations = {{{13000, 19000}, "linear", 2}, {{62000, 70000}, "linear_backward_input", 1}};
  RankRecording b = a;
  b.operations.pop_back();
  b.tp_index = 1;
  b.collectives = {fixed_collective({30000, 30000, 45000}, "block 0/attn", Phase::forward, 7, 2),
                   fixed_collective({65000, 86000, 92000}, "block 0", Phase::backward, 8, 1)};
  return {a, b};
}

inline RunRecording fixed_run() { return join(fixed_ranks(), {.tp = 2}, "a model", "a fixed run"); }

}  // namespace tplab::testing
