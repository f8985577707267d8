#include "viz/recording/flow.h"

#include <algorithm>
#include <functional>
#include <iterator>

namespace tplab {

namespace {

const std::byte* begin_of(const Array& array) {
  return static_cast<const std::byte*>(array.data());
}

bool inside(const Array& part, const Array& whole) {
  const std::less_equal<const std::byte*> no_later;  // unlike <=, also between unrelated arrays
  return whole.present() && no_later(begin_of(whole), begin_of(part)) &&
         no_later(begin_of(part) + part.bytes(), begin_of(whole) + whole.bytes());
}

// Ids are no values of the network.
bool is_ids(const Array& array) { return array.dtype() == DType::i32; }

// Whether so many numbers are those of one parameter and of all that are joined to it.
bool is_of_rows(std::vector<FlatEntry>::const_iterator entry,
                std::vector<FlatEntry>::const_iterator end, int64_t count) {
  do count -= entry++->count;
  while (entry != end && entry->joined);
  return count == 0;
}

}  // namespace

std::string place_of(const FlowStep& step, const ShardPlan& plan) {
  if (!step.site.empty()) return step.site;
  if (step.weights.empty()) return step.operation;
  const std::string& name = plan.rows()[step.weights.front().row].tensor;
  const size_t end = name.rfind('.'), begin = name.rfind('.', end - 1) + 1;
  return name.substr(begin, end - begin);
}

void FlowRecorder::know(const FlatParameters& parameters) {
  parameters_ = parameters;
  flow_ = {};
  memory_.clear();
}

FlowStep FlowRecorder::step_here(std::string operation) const {
  return {std::move(operation), rank_->site()->path(), rank_->phase(), {}, {}, {}, {}};
}

// Where the array is a part of the parameters: notes which one, unless it is a range of them all,
// as the optimizer and replicas take them.
bool FlowRecorder::is_weight(FlowStep& step, const Array& array) const {
  if (!parameters_) return false;
  for (const bool gradient : {false, true}) {
    const Array& all = gradient ? parameters_->gradients : parameters_->values;
    if (!inside(array, all)) continue;
    const int64_t first = (begin_of(array) - begin_of(all)) / size_bytes(all.dtype());
    const std::vector<FlatEntry>& entries = parameters_->layout.entries();
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const FlatEntry& e) { return e.first == first; });
    if (entry != entries.end() && step.phase != Phase::optimizer &&
        is_of_rows(entry, entries.end(), array.count()))
      step.weights.push_back({entry->row, gradient, array.shape()});
    return true;
  }
  return false;
}

// What is added to a parameter's gradient is told once, where it is written.
bool FlowRecorder::is_gradient(const Array& array) const {
  return parameters_ && inside(array, parameters_->gradients);
}

FlowRecorder::Memory* FlowRecorder::memory_at(const Array& array) {
  auto after = memory_.upper_bound(begin_of(array));
  if (after == memory_.begin()) return nullptr;
  Memory& memory = std::prev(after)->second;
  return std::less<const std::byte*>()(begin_of(array), memory.end) ? &memory : nullptr;
}

void FlowRecorder::read(FlowStep& step, const Array& array) {
  if (is_weight(step, array)) return;
  Memory* memory = memory_at(array);
  if (!memory) {  // it was there before
    memory = &(memory_[begin_of(array)] = {begin_of(array) + std::max<int64_t>(array.bytes(), 1),
                                           static_cast<int>(flow_.values.size()), "", nullptr});
    flow_.values.push_back({"", "", array.shape(), array.dtype(), -1});
  }
  const bool stated_here = memory->stated_at == rank_->site();
  step.reads.push_back(
      {memory->value, stated_here ? memory->placement
                                  : flow_.values[static_cast<size_t>(memory->value)].placement});
}

void FlowRecorder::write(FlowStep& step, const Array& array) {
  if (is_weight(step, array)) return;
  const std::byte* const begin = begin_of(array);
  const std::byte* const end = begin + std::max<int64_t>(array.bytes(), 1);
  memory_.erase(memory_.lower_bound(begin), memory_.lower_bound(end));
  const int value = static_cast<int>(flow_.values.size());
  memory_[begin] = {end, value, "", nullptr};
  flow_.values.push_back(
      {"", "", array.shape(), array.dtype(), static_cast<int>(flow_.steps.size())});
  step.writes.push_back(value);
}

void FlowRecorder::placed(const Array& array, std::string_view placement) {
  if (!array.present()) return;
  Memory* const memory = memory_at(array);
  if (!memory) return;
  memory->placement = placement;
  memory->stated_at = rank_->site();
  FlowValue& value = flow_.values[static_cast<size_t>(memory->value)];
  // The first: what the operation made. But one rank's sum is whole as it is, without a collective.
  const bool summed = value.placement == placement_name<Partial>();
  if (!value.placement.empty() && !summed) return;
  value.placement = placement;
  value.shape = array.shape();
}

void FlowRecorder::shown(const Shown& tensor, Device&) {
  if (const Memory* memory = memory_at(tensor.array))
    flow_.values[static_cast<size_t>(memory->value)].name =
        tensor.site.substr(tensor.site.rfind('/') + 1);
}

void FlowRecorder::computed(const Computation& computation) {
  FlowStep step = step_here(std::string(computation.operation));
  for (const Array* array : computation.reads)
    if (!is_ids(*array) && !is_gradient(*array)) read(step, *array);
  for (const Array* array : computation.writes) {
    if (is_ids(*array)) return;  // they are uploaded
    write(step, *array);
  }
  flow_.steps.push_back(std::move(step));
}

void FlowRecorder::before(const Post& call, const Array& in) {
  collective_ = step_here(std::string(name(call.op)));
  if (in.present()) read(collective_, in);
}

void FlowRecorder::after(const Event& event, const Array& out) {
  collective_.collective = event;
  if (out.present()) write(collective_, out);
  flow_.steps.push_back(std::move(collective_));
}

}  // namespace tplab
