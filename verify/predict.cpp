#include "verify/predict.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/flat_layout.h"
#include "model/training/data_parallel.h"
#include "sim/algorithms/table.h"
#include "sim/machine/mesh.h"

namespace tplab {

namespace {

// Writes down one rank's events; a group of one has none.
class Script {
 public:
  // Of the rank with this global index.
  Script(const Mesh& mesh, int rank, Algorithm algorithm)
      : sizes_{mesh.tp, mesh.dp},
        indices_{mesh.tp_index(rank), mesh.dp_index(rank)},
        algorithm_(algorithm) {}

  Phase phase = Phase::forward;

  void expect(Axis axis, std::string site, Op op, int64_t elements, DType dtype) {
    const auto a = static_cast<size_t>(axis == Axis::tp ? 0 : 1);
    if (sizes_[a] == 1) return;
    events_.push_back(
        {std::move(site), phase, axis, op, elements, elements * size_bytes(dtype),
         predicted_wire_bytes(op, algorithm_, indices_[a], sizes_[a], elements, dtype)});
  }
  std::vector<PredictedEvent> events() && { return std::move(events_); }

 private:
  int sizes_[2], indices_[2];
  Algorithm algorithm_;
  std::vector<PredictedEvent> events_;
};

// A training step, put together from its parts in the order of the network.
class StepScript : public Script {
 public:
  StepScript(const ShardPlan& plan, const Parallelism& how, const StepShape& shape, int rank)
      : Script(how.mesh(), rank, shape.algorithm),
        how_(how),
        shape_(shape),
        layers_(plan.architecture().layers()),
        stream_(shape.batch * shape.length * plan.architecture().width) {}

  void forward() {
    phase = Phase::forward;
    on_stream("embed", Op::all_reduce);
    for (int64_t i = 0; i < layers_; ++i) block_forward(i);
    if (how_.sp) on_stream("head", Op::all_gather);
    for (int i = 0; i < 3; ++i)
      expect(Axis::tp, "head/loss", Op::all_reduce, shape_.batch * shape_.length,
             accumulator(shape_.dtype));
  }

  void backward() {
    phase = Phase::backward;
    read_backward("head");
    for (int64_t i = layers_ - 1; i >= 0; --i) {
      if (how_.recompute) block_forward(i);
      for (const char* part : {"mlp", "attn"}) {
        const std::string site = fmt::format("block {}/{}", i, part);
        if (how_.sp) on_stream(site, Op::all_gather);  // of what was written, by reduce-scatter
        read_backward(site);
      }
    }
    if (how_.sp) on_stream("embed", Op::all_gather);
  }

 private:
  void on_stream(const std::string& site, Op op) {
    expect(Axis::tp, site, op, stream_, shape_.dtype);
  }
  void block_forward(int64_t i) {
    for (const char* part : {"attn", "mlp"}) {
      const std::string site = fmt::format("block {}/{}", i, part);
      if (how_.sp) on_stream(site, Op::all_gather);
      on_stream(site, how_.sp ? Op::reduce_scatter : Op::all_reduce);
    }
  }
  void read_backward(const std::string& site) {
    if (how_.sp && how_.regather) on_stream(site, Op::all_gather);
    on_stream(site, how_.sp ? Op::reduce_scatter : Op::all_reduce);
  }

  const Parallelism& how_;
  const StepShape& shape_;
  int64_t layers_, stream_;
};

}  // namespace

std::vector<PredictedEvent> predict_forward(const ShardPlan& plan, const StepShape& shape,
                                            int tp_index) {
  Script script({.tp = plan.tp()}, tp_index, shape.algorithm);
  const DType dtype = shape.dtype;
  const int64_t tokens = shape.batch * shape.length;
  const int64_t stream = tokens * plan.architecture().width;
  script.expect(Axis::tp, "embed", Op::all_reduce, stream, dtype);
  for (int64_t i = 0; i < plan.architecture().layers(); ++i) {
    script.expect(Axis::tp, fmt::format("block {}/attn", i), Op::all_reduce, stream, dtype);
    script.expect(Axis::tp, fmt::format("block {}/mlp", i), Op::all_reduce, stream, dtype);
  }
  script.expect(Axis::tp, "head", Op::all_gather, tokens * plan.padded_vocab(), dtype);
  return std::move(script).events();
}

std::vector<PredictedEvent> predict_step(const ShardPlan& plan, const Parallelism& how,
                                         const StepShape& shape, int rank) {
  StepScript script(plan, how, shape, rank);
  for (int64_t i = 0; i < how.accumulation; ++i) {
    script.forward();
    script.backward();
  }
  script.phase = Phase::backward;
  script.expect(Axis::dp, "mean loss", Op::all_reduce, 1, DType::f64);
  const FlatLayout layout(plan, how.mesh().tp_index(rank), how.dp);
  const DType gradients = accumulator(shape.dtype);
  if (how.sp)
    script.expect(Axis::tp, "small gradients", Op::all_reduce,
                  layout.range(Region::whole_vectors).size(), gradients);
  const int64_t count = layout.count(), bucket = kBucketBytes / size_bytes(gradients);
  if (how.zero == Zero::gradients) {
    script.expect(Axis::dp, "replicas", Op::reduce_scatter, count, gradients);
  } else {
    for (int64_t begin = 0; begin < count; begin += bucket)
      script.expect(Axis::dp, "replicas", Op::all_reduce, std::min(bucket, count - begin),
                    gradients);
  }
  script.phase = Phase::optimizer;
  script.expect(Axis::tp, "norm", Op::all_reduce, 1, DType::f64);
  if (how.zero == Zero::gradients) script.expect(Axis::dp, "norm", Op::all_reduce, 1, DType::f64);
  if (how.zero != Zero::none)
    script.expect(Axis::dp, "replicas", Op::all_gather, count, shape.dtype);
  return std::move(script).events();
}

std::string first_disagreement(const std::vector<PredictedEvent>& predicted,
                               const std::vector<Event>& counted) {
  for (size_t i = 0; i < std::min(predicted.size(), counted.size()); ++i) {
    const PredictedEvent& want = predicted[i];
    const Event& got = counted[i];
    if (want.site == got.site->path() && want.phase == got.phase && want.axis == got.axis &&
        want.op == got.op && want.elements == got.elements &&
        want.payload_bytes == got.payload_bytes && want.wire_bytes == got.wire_bytes)
      continue;
    return fmt::format(
        "collective {}: predicted {} of {} numbers at {} ({}, over {}), {} bytes sent; counted {} "
        "of {} at {} ({}, over {}), {} bytes sent",
        i, name(want.op), want.elements, want.site, name(want.phase), name(want.axis),
        want.wire_bytes, name(got.op), got.elements, got.site->path(), name(got.phase),
        name(got.axis), got.wire_bytes);
  }
  if (predicted.size() == counted.size()) return "";
  return fmt::format("predicted {} collectives, counted {}", predicted.size(), counted.size());
}

}  // namespace tplab
