#include "viz/explore/step_recorder.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/placement.h"

namespace tplab::explore {

namespace {

// REQUIRES: f32 in host memory, as the CPU device has it.
std::vector<float> numbers(const Array& array) {
  const float* const first = array.as<float>();
  return {first, first + array.count()};
}

Part part_of(const RankHolding& held, bool of_all_reduce) {
  // Ranks reduce element by element, whatever each found its element in.
  if (of_all_reduce) return Part::whole;
  if (held.placement == placement_name<Varying>()) return Part::features;
  if (held.placement == placement_name<VaryingT>()) return Part::positions;
  return Part::whole;
}

Holding holding(const RankHolding& held, bool of_all_reduce) {
  return {.placement = held.placement,
          .shape = held.shape,
          .part = part_of(held, of_all_reduce),
          .fused = held.fused};
}

[[noreturn]] void broken(const std::string& what) {
  throw Error(ErrorKind::run, "explore: " + what, "this is a bug in tplab; please report it");
}

// The outermost call first.
std::vector<Line> lines(const CallSite& where) {
  std::vector<Line> list = where.caller ? lines(*where.caller) : std::vector<Line>();
  list.push_back({where.file, where.line});
  return list;
}

std::string text(const RankStep& step) {
  return fmt::format("{} at '{}' ({})", step.op ? name(*step.op) : "a tensor", step.site,
                     name(step.phase));
}

}  // namespace

void StepRecorder::placed(const Array& array, std::string_view placement) {
  if (!array.present()) return;
  last_ = {std::string(placement), array.shape()};
  placed_[array.data()] = last_;
  if (!std::exchange(awaits_placement_, false)) return;
  // The first statement after a collective is about its result, in its final shape.
  RankHolding& result = steps_.back().after;
  if (array.count() != static_cast<int64_t>(result.values.size()))
    broken("what follows " + text(steps_.back()) + " is not its result");
  result.placement = placement;
  result.shape = array.shape();
}

void StepRecorder::shown(const Shown& tensor, Device&) {
  steps_.push_back({.site = tensor.site,
                    .phase = rank_->phase(),
                    .called = lines(tensor.where),
                    .after = {std::string(tensor.placement), tensor.array.shape(), tensor.fused,
                              numbers(tensor.array)}});
}

void StepRecorder::before(const Post& call, const Array& in) {
  // An all-reduce may be of a copy, made just after the statement about the original.
  const auto found = placed_.find(in.data());
  const bool is_reduced = call.op == Op::all_reduce;
  const Placed from = is_reduced || found == placed_.end() ? last_ : found->second;
  steps_.push_back({.site = call.site->path(),
                    .phase = call.phase,
                    .called = lines(call.where),
                    .op = call.op,
                    .largest = call.reduce == Reduce::max,
                    .before = RankHolding{from.placement, from.shape, 1, numbers(in)}});
  if (from.shape.count() != in.count())
    broken("nothing was said of where the input of " + text(steps_.back()) + " lives");
}

void StepRecorder::after(const Event& event, const Array& out) {
  steps_.back().wire_bytes = event.wire_bytes;
  steps_.back().after.values = numbers(out);
  awaits_placement_ = true;
}

std::vector<Step> put_together(const std::vector<std::vector<RankStep>>& ranks) {
  std::vector<Step> steps;
  for (const RankStep& first : ranks.at(0)) {
    const bool reduced = first.op == Op::all_reduce;
    Step& step = steps.emplace_back();
    step.site = first.site;
    step.phase = first.phase;
    step.called = first.called;
    step.op = first.op;
    step.largest = first.largest;
    if (first.before) step.before = holding(*first.before, reduced);
    step.after = holding(first.after, reduced);
    for (const auto& rank : ranks) {
      if (rank.size() != ranks[0].size()) broken("the ranks took different numbers of steps");
      const RankStep& own = rank[steps.size() - 1];
      if (text(own) != text(first) || own.called != first.called ||
          !(own.after.shape == first.after.shape))
        broken(fmt::format("one rank has {}, another {}", text(first), text(own)));
      if (own.after.placement.empty()) broken("the result of " + text(own) + " is placed nowhere");
      if (step.before) step.before->ranks.push_back(own.before.value().values);
      step.after.ranks.push_back(own.after.values);
      if (step.op) step.wire_bytes.push_back(own.wire_bytes);
    }
  }
  return steps;
}

}  // namespace tplab::explore
