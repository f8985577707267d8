// What the ranks do in one block, from their flows.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "sim/error.h"
#include "viz/pictures/block_picture.h"

namespace tplab {

namespace {

std::string slice_text(const ShardPlan& plan, const NamedTensor& tensor, int rank) {
  const Slice slice = plan.slice(tensor, rank);
  const Split split = plan.first_row(tensor).split;
  if (split == Split::whole) return "whole";
  std::vector<std::string> rows;
  for (const Range& r : slice.rows) rows.push_back(fmt::format("{}:{}", r.begin, r.end));
  if (split == Split::cols) return fmt::format("[:, {}:{}]", slice.cols.begin, slice.cols.end);
  return fmt::format("[{}{}]", fmt::join(rows, "|"), tensor.shape.dims() == 2 ? ", :" : "");
}

// "transformer.h.3.attn.c_attn.weight" -> "attn.c_attn.weight"
std::string name_in_block(const std::string& name) {
  const std::string start = "transformer.h.";
  if (!name.starts_with(start)) return name;
  return name.substr(name.find('.', start.size()) + 1);
}

// Operations that only put numbers in another order, as a part of a collective.
bool only_moves(const std::string& operation) {
  return operation == "join_shards" || operation == "cut_shards";
}

// Turns one rank's flow into the steps of one block.
class BlockOfRank {
 public:
  BlockOfRank(const ShardPlan& plan, const Flow& flow, int rank, const BlockOptions& options)
      : plan_(plan), flow_(flow), rank_(rank), block_(fmt::format("block {}", options.layer)) {
    std::vector<const FlowStep*> forward, backward;
    for (const FlowStep& step : flow.steps) {
      if (!in_block(step)) continue;
      if (step.phase == Phase::backward) backward.push_back(&step);
      if (step.phase != Phase::forward) continue;
      if (!backward.empty()) break;  // of the next micro-batch
      forward.push_back(&step);
    }
    const bool recomputed = std::equal(
        forward.begin(), forward.end(), backward.begin(),
        backward.begin() + std::min(std::ssize(forward), std::ssize(backward)),
        [](const FlowStep* a, const FlowStep* b) { return a->operation == b->operation; });
    if (options.forward)
      for (const FlowStep* step : forward) add(*step, false);
    if (options.backward)
      for (size_t i = 0; i < backward.size(); ++i)
        add(*backward[i], recomputed && i < forward.size());
  }
  std::vector<BlockStep> take() && { return std::move(steps_); }

 private:
  bool in_block(const FlowStep& step) const {
    return step.site == block_ || step.site.starts_with(block_ + "/");
  }
  const FlowValue& value(int v) const { return flow_.values[static_cast<size_t>(v)]; }
  // Null for what was there before.
  const FlowStep* maker_of(int v) const {
    const int made_by = value(v).made_by;
    return made_by < 0 ? nullptr : &flow_.steps[static_cast<size_t>(made_by)];
  }

  // The model's name for it, or for what it is in another order.
  std::string name_of(int v) const {
    const FlowStep* const maker = maker_of(v);
    if (value(v).name.empty() && maker && only_moves(maker->operation))
      return name_of(maker->reads.front().value);
    return value(v).name;
  }

  // For what is not drawn, where several may have one name: "ln_1", "embed/out", "all_gather of x".
  std::string called(int v) const {
    const FlowStep* const maker = maker_of(v);
    if (!maker) return "an input";
    if (!value(v).name.empty())
      return in_block(*maker) ? value(v).name : place_of(*maker, plan_) + "/" + value(v).name;
    if (only_moves(maker->operation)) return called(maker->reads.front().value);
    if (maker->collective && !maker->reads.empty())
      return maker->operation + " of " + called(maker->reads.front().value);
    return "a result of " + maker->operation;
  }

  void add(const FlowStep& flow_step, bool again) {
    if (flow_step.reads.empty() && flow_step.weights.empty()) return;  // zeros
    if (only_moves(flow_step.operation)) {  // what it makes is what it read, in order
      const int read = flow_step.reads.front().value, made = flow_step.writes.front();
      if (const auto maker = made_in_.find(read); maker != made_in_.end()) {
        if (!value(made).placement.empty()) describe(steps_[maker->second], value(made));
        made_in_[made] = maker->second;
      }
      return;
    }
    BlockStep step;
    step.phase = flow_step.phase;
    step.again = again;
    step.operation = flow_step.operation;
    step.site = flow_step.site == block_ ? "" : flow_step.site.substr(block_.size() + 1);
    step.collective = flow_step.collective;
    for (const FlowWeight& weight : flow_step.weights) step.weights.push_back(described(weight));
    for (const FlowRead& read : flow_step.reads) {
      connect(step, read);
      if (step.collective) step.before = placement_of(read);
    }
    if (!flow_step.writes.empty()) describe(step, value(flow_step.writes.front()));
    for (const int made : flow_step.writes) made_in_[made] = steps_.size();
    push(std::move(step));
  }

  // Numbers put in the order of the ranks are placed as they were before.
  std::string placement_of(const FlowRead& read) const {
    if (!read.placement.empty()) return std::string(read.placement);
    const auto maker = made_in_.find(read.value);
    return maker == made_in_.end() ? "" : steps_[maker->second].placement;
  }

  void push(BlockStep step) {
    step.id = fmt::format("{}-{}", name(step.phase), steps_.size());
    steps_.push_back(std::move(step));
  }

  static void describe(BlockStep& step, const FlowValue& value) {
    step.name = value.name;
    step.shape = value.shape.text();
    step.placement = value.placement;
  }

  BlockWeight described(const FlowWeight& weight) const {
    const NamedTensor& tensor = plan_.tensor_of(weight.row);
    return {name_in_block(tensor.name),
            slice_text(plan_, tensor, rank_),
            plan_.local_shape(tensor, rank_).text(),
            tensor.shape.text(),
            plan_.first_row(tensor).split == Split::whole,
            name(plan_.first_row(tensor).split, tensor.fused()),
            weight.gradient};
  }

  // Draws an arrow from where the value was made, which may be outside the block; what a backward
  // pass reads of the forward pass is named instead.
  void connect(BlockStep& step, const FlowRead& read) {
    const FlowValue& v = value(read.value);
    auto maker = made_in_.find(read.value);
    const bool of_forward = v.made_by >= 0 && step.phase == Phase::backward &&
                            flow_.steps[static_cast<size_t>(v.made_by)].phase == Phase::forward;
    if (of_forward) {
      const std::string name = called(read.value);
      if (std::find(step.saved.begin(), step.saved.end(), name) == step.saved.end())
        step.saved.push_back(name);
      return;
    }
    if (maker == made_in_.end()) {  // made elsewhere
      BlockStep source;
      source.phase = step.phase;
      source.again = step.again;
      source.operation =
          v.made_by < 0 ? "input"
                        : "from " + place_of(flow_.steps[static_cast<size_t>(v.made_by)], plan_);
      describe(source, v);
      source.name = name_of(read.value);
      maker = made_in_.emplace(read.value, steps_.size()).first;
      push(std::move(source));
    }
    step.from.push_back(
        {steps_[maker->second].id, read.placement == v.placement || read.placement.empty()
                                       ? ""
                                       : std::string(read.placement)});
  }

  const ShardPlan& plan_;
  const Flow& flow_;
  const int rank_;
  const std::string block_;
  std::vector<BlockStep> steps_;
  std::map<int, size_t> made_in_;  // value -> step
};

}  // namespace

std::vector<std::vector<BlockStep>> block_steps(const ShardPlan& plan, const StepOnMeta& run,
                                                const BlockOptions& options) {
  const int64_t layers = plan.architecture().layers();
  if (options.layer < 0 || options.layer >= layers)
    fail(fmt::format("there is no block {}: the model has {}", options.layer, layers),
         fmt::format("use 0 to {}", layers - 1));
  check_same_plan(plan, run);
  std::vector<std::vector<BlockStep>> ranks;
  ranks.reserve(static_cast<size_t>(plan.tp()));
  for (int rank = 0; rank < plan.tp(); ++rank)
    ranks.push_back(BlockOfRank(plan, run.flows[static_cast<size_t>(rank)], rank, options).take());
  return ranks;
}

}  // namespace tplab
