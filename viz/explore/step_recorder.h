// One rank's steps, as its recorder is told of them, and those of all ranks put together.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/machine/rank.h"
#include "viz/explore/recording.h"

namespace tplab::explore {

// What one rank holds.
struct RankHolding {
  std::string placement;
  Shape shape;  // local
  int fused = 1;
  std::vector<float> values;
};

struct RankStep {
  std::string site;
  Phase phase = Phase::forward;
  std::vector<Line> called = {};
  std::optional<Op> op = {};
  bool largest = false;
  int64_t wire_bytes = 0;
  std::optional<RankHolding> before = {};
  RankHolding after = {};
};

// Keeps every shown tensor and every collective's numbers before and after it.
class StepRecorder final : public Recorder {
 public:
  void begin(const Rank& rank) override { rank_ = &rank; }
  void placed(const Array& array, std::string_view placement) override;
  void shown(const Shown& tensor, Device& device) override;
  void before(const Post& call, const Array& in) override;
  void after(const Event& event, const Array& out) override;

  // For the rank's body to return, when all that is to be recorded has been.
  std::vector<RankStep> take() { return std::move(steps_); }

 private:
  struct Placed {
    std::string placement;
    Shape shape;
  };

  const Rank* rank_ = nullptr;
  std::map<const void*, Placed> placed_;  // the last statement about each address
  Placed last_;
  bool awaits_placement_ = false;  // of what the last collective gave
  std::vector<RankStep> steps_;
};

// Step by step what every rank held. Throws Error(run) if ranks did different things, or one says
// nothing of where a collective's result lives.
std::vector<Step> put_together(const std::vector<std::vector<RankStep>>& ranks);

}  // namespace tplab::explore
