#include "verify/run_trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <Eigen/Core>
#include <algorithm>
#include <functional>

#include "model/files/bytes.h"
#include "sim/error.h"
#include "sim/machine/backends.h"
#include "verify/truth.h"

namespace tplab {

uint64_t hash_of_bits(std::string_view bytes) { return std::hash<std::string_view>{}(bytes); }

uint64_t hash_of_weights(const WeightSource& source) {
  const Weights weights = whole_parameters(source);
  std::string all;
  for (const NamedTensor& tensor : named_tensors(source.architecture()))
    all += fmt::format("{} {:016x}\n", tensor.name,
                       hash_of_bits(bytes_of(std::span<const double>(weights(tensor.name)))));
  return hash_of_bits(all);
}

std::string TraceEntry::text() const {
  std::string text = did;
  if (elements > 0) text += fmt::format(" of {} {}", elements, name(dtype));
  return site.empty() ? text : fmt::format("{} at {}", text, site);
}

bool TraceEntry::same_but_bits(const TraceEntry& other) const {
  return site == other.site && did == other.did && elements == other.elements &&
         dtype == other.dtype;
}

std::string build_text() {
#if defined(__clang__)
  const std::string compiler =
      fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  const std::string compiler = fmt::format("g++ {}", __VERSION__);
#endif
  return fmt::format("{}, {}", compiler, Eigen::SimdInstructionSetsInUse());
}

std::string why_bits_differ(const Traced& a, const Traced& b) {
  if (a.device != b.device)
    return fmt::format("{} and {} add a product's terms in orders of their own", a.device,
                       b.device);
  if (a.build != b.build) return fmt::format("builds differ: {}, and {}", a.build, b.build);
  if (a.comm == b.comm || a.algorithm == "gather") return "";
  for (const std::string& comm : {a.comm, b.comm})
    if (adds_in_own_order(comm))
      return fmt::format("{} adds the ranks' terms in an order of its own, but for gather", comm);
  return "";
}

void require_same_question(const std::string& path, const Traced& theirs, const Traced& ours) {
  std::vector<std::string> differ;
  const auto compare = [&](std::string_view what, const auto& their, const auto& our) {
    if (their != our) differ.push_back(fmt::format("{} {} (here: {})", what, their, our));
  };
  const auto pass = [](const Traced& t) { return t.backward ? "--backward" : "a forward pass"; };
  if (theirs.backward != ours.backward)
    differ.push_back(fmt::format("{} (here: {})", pass(theirs), pass(ours)));
  compare("--steps", theirs.steps, ours.steps);
  compare("--batch", theirs.batch, ours.batch);
  compare("--seq", theirs.seq, ours.seq);
  compare("--algorithm", theirs.algorithm, ours.algorithm);
  compare("--seed", theirs.seed, ours.seed);
  if (theirs.weights != ours.weights)
    differ.push_back(theirs.source == ours.source
                         ? fmt::format("other weights, called {} there too", theirs.source)
                         : fmt::format("{} (here: {})", theirs.source, ours.source));
  if (differ.empty() && theirs.tokens != ours.tokens) differ.emplace_back("other tokens");
  if (differ.empty()) return;
  fail(fmt::format("{}: a trace of another run: {}", path, fmt::join(differ, ", ")),
       "give the options that it was written with, or write another with --trace");
}

namespace {

const TracedRun* find_run(const RunTrace& trace, const std::string& name) {
  const auto at = std::find_if(trace.runs.begin(), trace.runs.end(),
                               [&](const TracedRun& run) { return run.name == name; });
  return at == trace.runs.end() ? nullptr : &*at;
}

}  // namespace

void require_runs(const std::string& path, const RunTrace& file,
                  const std::vector<TracedRun>& ours) {
  std::vector<std::string> lacking, there;
  for (const TracedRun& run : ours)
    if (!find_run(file, run.name)) lacking.push_back("(" + run.name + ")");
  if (lacking.empty()) return;
  for (const TracedRun& run : file.runs) there.push_back("(" + run.name + ")");
  fail(fmt::format("{}: the trace has no run of {}, but of {}", path, list_text(lacking),
                   there.empty() ? "nothing" : list_text(there)),
       "give the --tp, --dp and --dtype that it was written with, or some of them");
}

namespace {

std::string entry_text(const std::vector<TraceEntry>& all, size_t at) {
  return at < all.size() ? all[at].text() : "nothing more";
}

// Counts what it compares in `comparison`.
struct DifferenceInRun {
  const std::vector<std::vector<TraceEntry>>&ours, &theirs;
  bool values;

  // Where the rank's two sequences part, or where both end.
  size_t first_of(size_t rank, TraceComparison& comparison) const {
    const auto &mine = ours[rank], &other = theirs[rank];
    const size_t both = std::min(mine.size(), other.size());
    size_t at = 0;
    for (; at < both && same(mine[at], other[at]); ++at)
      if (values && mine[at].bits) ++comparison.values;
    comparison.entries += static_cast<int64_t>(at);
    return at;
  }
  bool same(const TraceEntry& a, const TraceEntry& b) const {
    return a.same_but_bits(b) && (!values || a.bits == b.bits);
  }
};

std::optional<TraceDifference> difference_in(const TracedRun& ours, const TracedRun& theirs,
                                             TraceComparison& comparison) {
  const DifferenceInRun look{ours.ranks, theirs.ranks, comparison.why_no_values.empty()};
  std::optional<TraceDifference> first;
  const size_t ranks = std::min(ours.ranks.size(), theirs.ranks.size());
  for (size_t rank = 0; rank < ranks; ++rank) {
    const size_t at = look.first_of(rank, comparison);
    const auto &mine = ours.ranks[rank], &other = theirs.ranks[rank];
    if (at == mine.size() && at == other.size()) continue;
    const auto number = static_cast<int64_t>(at) + 1;
    if (first && first->number <= number) continue;
    first = {
        .run = ours.name,
        .rank = static_cast<int>(rank),
        .number = number,
        .site = at < mine.size() ? mine[at].site : other[at].site,
        .ours = entry_text(mine, at),
        .theirs = entry_text(other, at),
        .in_values = at < mine.size() && at < other.size() && mine[at].same_but_bits(other[at])};
  }
  return first;
}

}  // namespace

TraceComparison compare_traces(const std::string& path, const RunTrace& file,
                               const RunTrace& ours) {
  TraceComparison comparison{.path = path,
                             .theirs = fmt::format("{}, {}", file.of.device, file.of.comm),
                             .runs = std::ssize(ours.runs),
                             .entries = 0,
                             .values = 0,
                             .why_no_values = why_bits_differ(file.of, ours.of),
                             .difference = {}};
  for (const TracedRun& run : ours.runs) {
    auto difference = difference_in(run, *find_run(file, run.name), comparison);
    if (!comparison.difference) comparison.difference = std::move(difference);
  }
  return comparison;
}

}  // namespace tplab
