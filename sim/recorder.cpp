#include "sim/recorder.h"

#include <algorithm>

#include "sim/ops/list.h"

namespace tplab {

namespace {

std::span<const Array* const> present_of(const op::Arrays& list, op::Arrays& kept) {
  const auto end = std::copy_if(list.begin(), list.end(), kept.begin(), [](const Array* array) {
    return array != nullptr && array->present();
  });
  return {kept.begin(), end};
}

}  // namespace

void tell_computed(Recorder& recorder, std::string_view operation, const op::Arrays& reads,
                   const op::Arrays& writes, const Cost& cost) {
  op::Arrays read{}, written{};
  recorder.computed({operation, present_of(reads, read), present_of(writes, written), cost});
}

void tell_computed(Recorder& recorder, const Operation& operation) {
  std::visit(
      [&](const auto& one) {
        tell_computed(recorder, one.kName, one.reads(), one.writes(), op::cost_of(one));
      },
      operation);
}

}  // namespace tplab
