// What each module of a model communicates, expected beside counted: the tree of `trace --table`.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/machine/ledger.h"
#include "viz/drawing/table.h"

namespace tplab {

// One collective of one rank, expected or counted.
struct Communication {
  std::string site;
  Phase phase;
  Axis axis;
  Op op;
  int64_t payload_bytes, wire_bytes;
};

struct TrafficSum {
  int64_t calls = 0, payload_bytes = 0, wire_bytes = 0;
  bool operator==(const TrafficSum&) const = default;
  TrafficSum& operator+=(const TrafficSum& other);
};

struct TrafficPair {
  TrafficSum expected, counted;
  bool operator==(const TrafficPair&) const = default;
  bool agrees() const { return expected == counted; }
};

// The collectives of one kind at one site, by phase (index: the enum's).
struct SiteTraffic {
  std::string site;
  Axis axis;
  Op op;
  std::array<TrafficPair, 3> phases = {};
  bool agrees() const;
};

// In the order in which sites are first expected, and then those that nobody expected.
std::vector<SiteTraffic> compare_traffic(const std::vector<Communication>& expected,
                                         const std::vector<Communication>& counted);

// The tree, as text of at most 80 columns for names as models have them; ASCII. Of the blocks,
// those next to each other that are alike are shown as one unless `unfold`. What differs has "!"
// before it and exact bytes. The optimizer, if anything is sent there, has a part of its own below.
std::string traffic_text(const std::vector<SiteTraffic>& sites, bool unfold, bool colour,
                         int columns = 80);

}  // namespace tplab
