#include "model/training/optimizer.h"

#include <vector>

#include "sim/ops/list.h"

namespace tplab {

namespace {
constexpr Region kRegions[] = {Region::split_matrices, Region::split_vectors,
                               Region::whole_matrices, Region::whole_vectors};
}  // namespace

Optimizer::Optimizer(Rank& rank, const FlatParameters& parameters, const WeightSource& source,
                     const ShardPlan& plan, const OptimizerOptions& options, Zero zero)
    : rank_(rank),
      parameters_(parameters),
      options_(options),
      zero_(zero),
      part_(zero == Zero::none ? Range{0, parameters.layout.count()}
                               : parameters.layout.part(rank.dp_index())) {
  const DType dtype = parameters.values.dtype(), exact = accumulator(dtype);
  const Shape shape{part_.size()};
  for (Array* moment : {&m_, &v_}) {
    *moment = rank.device().allocate(exact, shape);
    rank.device().zero(*moment);
  }
  masters_ = parameters.values.part(part_.begin, shape);
  if (exact == dtype) return;
  masters_ = rank.device().allocate(exact, shape);
  rank.device().zero(masters_);  // the gaps between parameters
  if (rank.device().has_numbers()) load_masters(source, plan);
}

// A parameter at a time; of those that are shared out under ZeRO all is read, and a part kept.
void Optimizer::load_masters(const WeightSource& source, const ShardPlan& plan) {
  for (const FlatEntry& entry : parameters_.layout.entries()) {
    const ParameterRow& row = plan.rows()[entry.row];
    const Slice slice = plan.saved_slice(row, rank_.index());
    const Range r = intersection(part_, real_numbers(entry, slice));
    if (r.size() == 0) continue;
    std::vector<float> numbers(static_cast<size_t>(slice.count()));
    source.read(row.tensor, slice, {DType::f32, numbers.data(), slice.count()});
    Array to = masters_.part(r.begin - part_.begin, Shape{r.size()});
    rank_.device().upload({DType::f32, numbers.data() + (r.begin - entry.first), r.size()}, to);
  }
}

Optimizer::Clipping Optimizer::clipping(const MeshGradients& gradients, const Array& loss) const {
  auto scope = rank_.at("norm");
  Device& device = rank_.device();
  Array total = device.allocate(DType::f64, Shape{1}), part = device.allocate(DType::f64, Shape{1});
  device.zero(total);
  for (Region region : kRegions) {
    const bool is_split = region == Region::split_matrices || region == Region::split_vectors;
    if (!is_split && rank_.index() > 0) continue;
    const Range r = intersection(parameters_.layout.range(region), gradients.part);
    if (r.size() == 0) continue;
    device.run(op::SumOfSquares{
        gradients.numbers.part(r.begin - gradients.part.begin, Shape{r.size()}), part});
    device.run(op::Add{total, part, total});
  }
  rank_.comm().all_reduce(total);
  if (zero_ == Zero::gradients) rank_.dp_comm().all_reduce(total);
  Clipping clip{device.allocate(DType::f64, Shape{1}), device.allocate(DType::f64, Shape{1})};
  device.run(op::ClipScale{total, loss, options_.grad_clip, clip.norm, clip.scale});
  return clip;
}

void Optimizer::step(const MeshGradients& gradients, const Clipping& clip, double learning_rate,
                     int64_t step) {
  for (Region region : kRegions) {
    const Range r = intersection(parameters_.layout.range(region), part_);
    if (r.size() == 0) continue;
    const Shape shape{r.size()};
    const AdamW adamw{.learning_rate = learning_rate,
                      .beta1 = options_.beta1,
                      .beta2 = options_.beta2,
                      .eps = options_.eps,
                      .weight_decay = decays(region) ? options_.weight_decay : 0,
                      .step = step};
    const auto mine = [&](const Array& list) { return list.part(r.begin - part_.begin, shape); };
    const Array copy = has_masters() ? parameters_.values.part(r.begin, shape) : Array();
    const Array g = gradients.numbers.part(r.begin - gradients.part.begin, shape);
    rank_.device().run(op::AdamW{adamw, clip.scale, g, mine(m_), mine(v_), mine(masters_), copy});
  }
  if (zero_ != Zero::none) gather_parts(rank_, parameters_);
}

}  // namespace tplab
