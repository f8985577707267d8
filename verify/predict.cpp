#include "verify/predict.h"

#include <fmt/format.h>

#include "sim/algorithms.h"

namespace tplab {

std::vector<PredictedEvent> predict_forward(const ShardPlan& plan, int64_t batch, int64_t length,
                                            DType dtype, Algorithm algorithm, int rank) {
  std::vector<PredictedEvent> events;
  if (plan.tp() == 1) return events;
  const auto expect = [&](std::string site, Op op, int64_t elements) {
    events.push_back({std::move(site), op, elements, elements * size_bytes(dtype),
                      predicted_wire_bytes(op, algorithm, rank, plan.tp(), elements, dtype)});
  };
  const int64_t stream = batch * length * plan.config().n_embd;
  expect("embed", Op::all_reduce, stream);
  for (int64_t i = 0; i < plan.config().n_layer; ++i) {
    expect(fmt::format("block {}/attn", i), Op::all_reduce, stream);
    expect(fmt::format("block {}/mlp", i), Op::all_reduce, stream);
  }
  expect("head", Op::all_gather, batch * length * plan.padded_vocab());
  return events;
}

std::string first_disagreement(const std::vector<PredictedEvent>& predicted,
                               const std::vector<Event>& counted) {
  for (size_t i = 0; i < std::min(predicted.size(), counted.size()); ++i) {
    const PredictedEvent& want = predicted[i];
    const Event& got = counted[i];
    if (want.site == got.site->path() && want.op == got.op && want.elements == got.elements &&
        want.payload_bytes == got.payload_bytes && want.wire_bytes == got.wire_bytes)
      continue;
    return fmt::format(
        "collective {}: predicted {} of {} numbers at {}, {} bytes sent; counted {} of {} at {}, "
        "{} bytes sent",
        i, name(want.op), want.elements, want.site, want.wire_bytes, name(got.op), got.elements,
        got.site->path(), got.wire_bytes);
  }
  if (predicted.size() == counted.size()) return "";
  return fmt::format("predicted {} collectives, counted {}", predicted.size(), counted.size());
}

}  // namespace tplab
