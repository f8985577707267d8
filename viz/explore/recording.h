// A forward and a backward pass of a small model, run on several tp with and without sequence
// parallelism, and what every rank held at each step: what the explorer's page shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/tokens.h"
#include "sim/machine/ledger.h"

namespace tplab::explore {

struct Options {
  int64_t layers = 1, heads = 4, width = 8, length = 4;
  uint64_t seed = 1337;
};

// How an index in a rank's part becomes one in the whole tensor.
enum class Part {
  whole,      // it is the same
  features,   // the last dimension is `fused` blocks, each split over the ranks
  positions,  // T of [B, T, C] is split over the ranks
};

// A tensor as all ranks hold it at one moment.
struct Holding {
  std::string placement;  // placement_name()'s
  Shape shape;            // of one rank's part, local
  Part part = Part::whole;
  int fused = 1;
  std::vector<std::vector<float>> ranks = {};
};

// Of the source as it was compiled.
struct Line {
  std::string_view file;
  int number;
  bool operator==(const Line&) const = default;
};

struct Step {
  std::string site;  // "block 0/attn/qkv" of a tensor, "block 0/attn" of a collective
  Phase phase = Phase::forward;
  std::vector<Line> called = {};         // the model's line first, then what it went through
  std::optional<Op> op = {};             // of a collective
  bool largest = false;                  // an all-reduce of the largest, not of the sum
  std::optional<Holding> before = {};    // of a collective
  Holding after = {};                    // or the tensor
  std::vector<int64_t> wire_bytes = {};  // of a collective: sent by each rank
};

// What one rank's ledger counted.
struct Total {
  int64_t sync_points = 0, bytes = 0;
  bool operator==(const Total&) const = default;
};

struct Run {
  int tp = 1;
  bool sp = false;
  double loss = 0;
  std::vector<Step> steps = {};
  std::vector<Total> totals = {};  // by rank, of the ledgers
};

struct NamedRange {
  std::string name;
  int64_t first, count;
};

struct Recording {
  Options options;
  Architecture architecture;
  Tokens tokens = {};
  std::vector<int32_t> targets = {};
  std::vector<NamedRange> small = {};  // parameters in the tensor at "small gradients"
  std::vector<Run> runs = {};
};

// Throws Error(usage) for sizes that 1, 2 and 4 ranks cannot share or a page cannot show.
Architecture architecture_of(const Options& options);

// Runs tp 1, 2, 4 and, above 1, with sequence parallelism, in f32 on the CPU device.
Recording record(const Options& options);

// What the steps of a run add up to, by rank.
std::vector<Total> totals_of(const Run& run);
// Throws Error(run) unless the steps add up to what the ledgers counted.
void check(const Run& run);

}  // namespace tplab::explore
