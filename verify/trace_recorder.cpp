#include "verify/trace_recorder.h"

#include <fmt/format.h>

#include <utility>

namespace tplab {

TraceRecorders::TraceRecorders(bool on, const Mesh& mesh, std::vector<Recorder*> shown_to)
    : shown_to_(std::move(shown_to)) {
  for (int r = 0; on && r < mesh.ranks(); ++r) {
    OfRank& mine = *of_ranks_.emplace_back(std::make_unique<OfRank>());
    mine.shown_to = shown_to_.empty() ? nullptr : shown_to_[static_cast<size_t>(r)];
  }
}

std::vector<Recorder*> TraceRecorders::recorders() const {
  if (of_ranks_.empty()) return shown_to_;
  std::vector<Recorder*> all;
  for (const auto& mine : of_ranks_) all.push_back(mine.get());
  return all;
}

TraceRecorders::OfRank* TraceRecorders::of(const Rank& rank) const {
  return of_ranks_.empty() ? nullptr : of_ranks_[static_cast<size_t>(rank.global_index())].get();
}

void TraceRecorders::result(const Rank& rank, std::string_view what, const Array& values) {
  if (OfRank* const mine = of(rank)) mine->add(std::string(what), "result", values, values.count());
}

void TraceRecorders::result(const Rank& rank, std::string_view what,
                            std::span<const double> values) {
  OfRank* const mine = of(rank);
  if (!mine) return;
  mine->entries.push_back({std::string(what), "result", std::ssize(values), DType::f64,
                           hash_of_bits(bytes_of(values))});
}

std::vector<TraceEntry> TraceRecorders::take(const Rank& rank) {
  OfRank* const mine = of(rank);
  return mine ? std::exchange(mine->entries, {}) : std::vector<TraceEntry>();
}

void TraceRecorders::OfRank::begin(const Rank& of) {
  rank = &of;
  if (shown_to) shown_to->begin(of);
}

void TraceRecorders::OfRank::add(std::string site, std::string did, const Array& values,
                                 int64_t elements) {
  TraceEntry& entry =
      entries.emplace_back(TraceEntry{std::move(site), std::move(did), elements, values.dtype()});
  if (!values.present()) return;
  buffer.resize(static_cast<size_t>(values.bytes()));
  rank->device().download(values, {values.dtype(), buffer.data(), values.count()});
  entry.bits = hash_of_bits(buffer);
}

void TraceRecorders::OfRank::shown(const Shown& tensor, Device& device) {
  add(tensor.site, "shown", tensor.array, tensor.array.count());
  if (shown_to) shown_to->shown(tensor, device);
}

void TraceRecorders::OfRank::computed(const Computation& computation) {
  TraceEntry& entry = entries.emplace_back();
  entry.site = rank->site()->path();
  entry.did = computation.operation;
  if (computation.writes.empty()) return;
  entry.elements = computation.writes[0]->count();
  entry.dtype = computation.writes[0]->dtype();
}

void TraceRecorders::OfRank::after(const Event& event, const Array& out) {
  std::string did(name(event.op));
  if (event.axis != Axis::tp) did += fmt::format(" over {}", name(event.axis));
  add(event.site->path(), std::move(did), out, event.elements);
  if (!out.present()) entries.back().dtype = event.dtype;
}

}  // namespace tplab
