#include "viz/recording/run_recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "sim/error.h"

namespace tplab {

void RunRecorder::start() {
  recording_ = {};
  recording_.tp_index = rank_->index();
  recording_.dp_index = rank_->dp_index();
  open_.clear();
  scope_sites_.clear();
  on_ = true;
  recording_.start_ns = rank_->clock().now_ns();
  note_phase();
}

void RunRecorder::stop() {
  recording_.end_ns = rank_->clock().now_ns();
  on_ = false;
  recording_.phases.back().end_ns = recording_.end_ns;
  for (size_t i = 0; i < scope_sites_.size(); ++i)
    recording_.scopes[i].site = scope_sites_[i]->path();
  for (CollectiveSpan& call : recording_.collectives) {
    call.site = call.event.site->path();
    call.event.site = nullptr;
  }
}

void RunRecorder::note_phase() {
  if (!on_ || !open_.empty()) return;
  std::vector<PhaseSpan>& phases = recording_.phases;
  if (!phases.empty() && phases.back().phase == rank_->phase()) return;
  const int64_t now = phases.empty() ? recording_.start_ns : rank_->clock().now_ns();
  if (!phases.empty()) phases.back().end_ns = now;
  phases.push_back({{now, now}, rank_->phase()});
}

void RunRecorder::entered() {
  if (!on_) return;
  note_phase();
  const int64_t now = rank_->clock().now_ns();
  recording_.scopes.push_back({{now, now}, {}, rank_->phase(), static_cast<int>(open_.size())});
  scope_sites_.push_back(rank_->site());
  open_.push_back(scope_sites_.size() - 1);  // last: if memory runs out, what is open is there
}

void RunRecorder::left() {
  if (!on_ || open_.empty()) return;
  recording_.scopes[open_.back()].end_ns = rank_->clock().now_ns();
  open_.pop_back();
}

void RunRecorder::starts(std::string_view operation) {
  if (!on_ || in_collective_) return;
  note_phase();
  OperationSpan span;
  span.operation = operation;
  span.depth = static_cast<int>(open_.size());
  span.start_ns = rank_->clock().now_ns();
  recording_.operations.push_back(span);
}

void RunRecorder::ends() {
  if (on_ && !in_collective_) recording_.operations.back().end_ns = rank_->clock().now_ns();
}

void RunRecorder::before(const Post& call, const Array&) {
  if (!on_) return;
  note_phase();
  in_collective_ = true;
  sequence_ = call.sequence;
}

void RunRecorder::after(const Event& event, const Array&) {
  if (!on_) return;
  in_collective_ = false;
  CollectiveSpan span;
  span.start_ns = event.start_ns;
  span.agreed_ns = event.agreed_ns;
  span.end_ns = event.end_ns;
  span.event = event;
  span.sequence = sequence_;
  span.depth = static_cast<int>(open_.size());
  recording_.collectives.push_back(std::move(span));
}

int64_t RunRecording::end_ns() const {
  int64_t end = 0;
  for (const RankRecording& rank : ranks) end = std::max(end, rank.end_ns);
  return end;
}

namespace {

void shift(Interval& interval, int64_t by_ns) {
  interval.start_ns -= by_ns;
  interval.end_ns -= by_ns;
}

// So that the first rank begins at 0.
void shift_to_zero(std::vector<RankRecording>& ranks) {
  int64_t first = std::numeric_limits<int64_t>::max();
  for (const RankRecording& rank : ranks) first = std::min(first, rank.start_ns);
  for (RankRecording& rank : ranks) {
    shift(rank, first);
    for (PhaseSpan& span : rank.phases) shift(span, first);
    for (ScopeSpan& span : rank.scopes) shift(span, first);
    for (CollectiveSpan& span : rank.collectives) {
      shift(span, first);
      span.agreed_ns -= first;
    }
    for (OperationSpan& span : rank.operations) shift(span, first);
  }
}

struct Member {
  int rank;
  CollectiveSpan* span;
};

void check_call(const std::vector<Member>& call) {
  const CollectiveSpan& first = *call.front().span;
  const auto same = [&](const Member& m) {
    const Event &a = first.event, &b = m.span->event;
    return a.op == b.op && a.elements == b.elements && a.phase == b.phase &&
           first.site == m.span->site;
  };
  if (std::ssize(call) == first.event.group_size && std::all_of(call.begin(), call.end(), same))
    return;
  throw Error(ErrorKind::run,
              fmt::format("the recording of {} #{} at {} has {} of its {} ranks, or not the same "
                          "of each",
                          name(first.event.op), first.sequence, first.site, call.size(),
                          first.event.group_size),
              "record every rank of one run, from the same step to the same step");
}

}  // namespace

RunRecording join(std::vector<RankRecording> ranks, const Mesh& mesh, std::string model,
                  std::string what) {
  shift_to_zero(ranks);
  // A group's calls have one order: {over tp or dp, which group of these, which call}.
  std::map<std::tuple<Axis, int, uint64_t>, std::vector<Member>> calls;
  for (size_t r = 0; r < ranks.size(); ++r) {
    for (CollectiveSpan& span : ranks[r].collectives) {
      span.arrived_ns = span.start_ns;
      span.last_rank = static_cast<int>(r);
      if (span.event.op == Op::send || span.event.op == Op::recv) continue;
      const int group = span.event.axis == Axis::tp ? ranks[r].dp_index : ranks[r].tp_index;
      calls[{span.event.axis, group, span.sequence}].push_back({static_cast<int>(r), &span});
    }
  }
  for (const auto& [key, call] : calls) {
    check_call(call);
    const Member& last = *std::max_element(
        call.begin(), call.end(),
        [](const Member& a, const Member& b) { return a.span->start_ns < b.span->start_ns; });
    std::vector<int> members;
    for (const Member& member : call) members.push_back(member.rank);
    const int64_t arrived = last.span->start_ns;
    for (const Member& member : call) {
      member.span->arrived_ns = std::min(arrived, member.span->end_ns);
      member.span->last_rank = last.rank;
      member.span->members = members;
    }
  }
  return {std::move(model), std::move(what), mesh.tp, mesh.dp, std::move(ranks)};
}

}  // namespace tplab
