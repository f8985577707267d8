// What every rank of a run did, in order, and whether another run did the same: on another device,
// over another communicator.
//
// A trace says what it is of. Two are compared where they are of one question: the same weights and
// tokens, one algorithm, a mesh and a dtype that both ran. Then the sequences must be the same. So
// must the bits of all values wherever they are promised: one device and one build compute alike,
// and communicators add the ranks' terms in the same order. Where they are not (two devices add the
// products of a matrix in orders of their own), how close the values are is not said: that is what
// each run's verification is for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/weights.h"
#include "sim/dtype.h"

namespace tplab {

// Of the bytes: libstdc++'s std::hash, which is MurmurHash64A (Appleby 2008, seed 0xc70f6907). NaNs
// are equal if their bits are, and 0 is not -0.
uint64_t hash_of_bits(std::string_view bytes);
template <class T>
std::string_view bytes_of(std::span<const T> numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes()};
}
// Of every parameter in f64, and their names.
uint64_t hash_of_weights(const WeightSource& source);

// One thing that a rank did.
struct TraceEntry {
  std::string site;  // "block 3/attn"; empty outside of all scopes
  // A device's operation by its kName ("linear"); a collective ("all_reduce", and over the replicas
  // "all_reduce over dp"); "shown", of a tensor that a layer shows; "result".
  std::string did;
  int64_t elements = 0;      // of the tensor, the whole one in a collective; of an operation what
  DType dtype = DType::f32;  //   it writes first
  // hash_of_bits of what this rank then holds; none of an operation, a barrier and a split.
  std::optional<uint64_t> bits = {};

  std::string text() const;  // "all_reduce of 4096 f32 at block 3/attn"
  bool same_but_bits(const TraceEntry& other) const;
};

// Ranks by global index.
struct TracedRun {
  std::string name;  // "tp 2, dp 1, f64"
  std::vector<std::vector<TraceEntry>> ranks;
};

// What a trace is of.
struct Traced {
  std::string source;                // the weights, for people
  uint64_t weights = 0, tokens = 0;  // hashes; the tokens' is of the targets too
  uint64_t seed = 0;
  bool backward = false;
  int64_t steps = 0, batch = 0, seq = 0;
  std::string algorithm;
  std::string device, comm, build;  // may differ
};

struct RunTrace {
  Traced of;
  std::vector<TracedRun> runs;
};

// The first thing that two runs did not do alike: of the ranks' the one of the lowest number, and
// of those the lowest rank's.
struct TraceDifference {
  std::string run;
  int rank = 0;
  int64_t number = 0;  // in the rank's sequence, from 1
  std::string site;
  std::string ours, theirs;
  bool in_values = false;  // they are the same but for the values' bits
};

struct TraceComparison {
  std::string path;                           // of the file
  std::string theirs;                         // "cpu, threads": what the file's ran on
  int64_t runs = 0, entries = 0, values = 0;  // compared: runs, entries of all ranks, hashes
  std::string why_no_values;                  // empty where values were compared
  std::optional<TraceDifference> difference;
  bool good() const { return !difference; }
};

// This build, as far as what it computes depends on it: compiler and its version, instructions.
std::string build_text();

// Why runs of the two need not hold the same bits; empty if they must.
std::string why_bits_differ(const Traced& a, const Traced& b);

// Throws Error(usage) that lists what differs unless both are of one question.
void require_same_question(const std::string& path, const Traced& theirs, const Traced& ours);
// Throws Error(usage) unless all these runs, by their names, are in the file.
void require_runs(const std::string& path, const RunTrace& file,
                  const std::vector<TracedRun>& ours);

// REQUIRES: both of the above.
TraceComparison compare_traces(const std::string& path, const RunTrace& file, const RunTrace& ours);

}  // namespace tplab
