// When a run did what: the phases, scopes and collectives of every rank, with times that were
// measured. What traces and timelines are drawn from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/machine/rank.h"
#include "sim/machine/watched_device.h"
#include "sim/recorder.h"

namespace tplab {

// Times are in nanoseconds since the first rank of the run began.
struct Interval {
  int64_t start_ns = 0, end_ns = 0;
  int64_t length_ns() const { return end_ns - start_ns; }
};

struct PhaseSpan : Interval {
  Phase phase = Phase::forward;
  static void fields(auto& self, auto&& f) { f(self.start_ns, self.end_ns, self.phase); }
};

struct ScopeSpan : Interval {
  std::string site;  // its path: "block 0/attn"
  Phase phase = Phase::forward;
  int depth = 0;  // scopes around it
  static void fields(auto& self, auto&& f) {
    f(self.start_ns, self.end_ns, self.site, self.phase, self.depth);
  }
};

// An operation of the device, by its kName (sim/ops/).
struct OperationSpan : Interval {
  std::string_view operation;
  int depth = 0;  // scopes around it
  static void fields(auto& self, auto&& f) {
    f(self.start_ns, self.end_ns, self.operation, self.depth);
  }
};

struct CollectiveSpan : Interval {
  // The event of the ledger, without its site and times, which are of the rank's own memory.
  Event event;
  std::string site;
  uint64_t sequence = 0;     // which call of its group
  int depth = 0;             // scopes around it
  int64_t arrived_ns = 0;    // when the last of its ranks came
  int64_t agreed_ns = 0;     // when this one knew it: waiting until here, moving from here
  int last_rank = 0;         // that came, by global index
  std::vector<int> members;  // of the call, by global index, in order; empty for send and recv
  static void fields(auto& self, auto&& f) {
    f(self.start_ns, self.end_ns, self.event, self.site, self.sequence, self.depth, self.arrived_ns,
      self.agreed_ns, self.last_rank, self.members);
  }
};

// One rank's run. Scopes are in the order of entering, the others in the order of time.
struct RankRecording : Interval {
  int tp_index = 0, dp_index = 0;
  std::vector<PhaseSpan> phases;  // without gaps, from start to end
  std::vector<ScopeSpan> scopes;
  std::vector<CollectiveSpan> collectives;
  std::vector<OperationSpan> operations;
  static void fields(auto& self, auto&& f) {
    f(self.start_ns, self.end_ns, self.tp_index, self.dp_index, self.phases, self.scopes,
      self.collectives, self.operations);
  }
};

struct RunRecording {
  std::string model, what;  // that ran, for people
  int tp = 1, dp = 1;
  std::vector<RankRecording> ranks;  // by global index
  int64_t end_ns() const;
};

// Records one rank between start() and stop(). A phase that begins inside a scope is seen when the
// rank is out of all scopes again: so scopes lie within phases.
class RunRecorder final : public Recorder, public OperationTimes {
 public:
  // REQUIRES: called on the rank's thread, outside of all scopes.
  void start();
  void stop();
  RankRecording take() { return std::move(recording_); }

  void begin(const Rank& rank) override { rank_ = &rank; }
  void entered() override;
  void left() override;
  void placed(const Array&, std::string_view) override { note_phase(); }
  void starts(std::string_view operation) override;
  void ends() override;
  void before(const Post& call, const Array& in) override;
  void after(const Event& event, const Array& out) override;

 private:
  void note_phase();

  const Rank* rank_ = nullptr;
  bool on_ = false, in_collective_ = false;
  std::vector<size_t> open_;              // scopes that were entered and not left
  std::vector<const Site*> scope_sites_;  // resolved when the clock has stopped
  uint64_t sequence_ = 0;                 // of the call being made
  RankRecording recording_;
};

// Puts what the ranks recorded on one clock and joins the ranks of each collective.
// Throws Error(run) if the ranks of one disagree about what it was, or if one of them is missing.
RunRecording join(std::vector<RankRecording> ranks, const Mesh& mesh, std::string model,
                  std::string what);

}  // namespace tplab
