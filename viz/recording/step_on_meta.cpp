#include "viz/recording/step_on_meta.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/error.h"

namespace tplab {

StepOnMeta step_on_meta(const WeightSource& source, const StepOptions& options) {
  const Tokens tokens{options.batch, options.seq,
                      std::vector<int32_t>(static_cast<size_t>(options.batch * options.seq))};
  const Mesh mesh = options.parallelism.mesh();
  std::vector<FlowRecorder> recorders(static_cast<size_t>(mesh.ranks()));
  WorldOptions world{
      .tp = mesh.tp, .dp = mesh.dp, .device = "meta", .algorithm = options.algorithm};
  world.recorders.reserve(recorders.size());
  for (FlowRecorder& recorder : recorders) world.recorders.push_back(&recorder);

  auto [flows, records] = World(world).run([&](Rank& rank) {
    FlowRecorder& recorder = recorders[static_cast<size_t>(rank.global_index())];
    const auto trainer = make_trainer(rank, source, options.trainer());
    recorder.know(trainer->parameters());
    (void)trainer->step(tokens, tokens.ids, 0, 1e-3);
    return std::move(recorder).take();
  });
  return {.flows = std::move(flows), .records = std::move(records), .dtype = options.dtype};
}

void check_same_plan(const ShardPlan& plan, const StepOnMeta& run) {
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorKind::run, fmt::format("the picture's plan is not the run's: {}", why),
                "draw from the plan that the run was made with");
  };
  if (run.flows.size() % static_cast<size_t>(plan.tp()) != 0)
    refuse(fmt::format("tp {}, and {} ranks ran", plan.tp(), run.flows.size()));
  for (size_t rank = 0; rank < run.flows.size(); ++rank) {
    const Flow& flow = run.flows[rank];
    const auto tp_rank = static_cast<int>(rank % static_cast<size_t>(plan.tp()));
    std::vector<bool> used(plan.rows().size());  // of a tensor its first
    for (const FlowStep& step : flow.steps) {
      for (const FlowWeight& weight : step.weights) {
        if (weight.row >= used.size()) refuse("the run has more parameters");
        used[weight.row] = true;
        const NamedTensor& tensor = plan.tensor_of(weight.row);
        const Shape planned = plan.local_shape(tensor, tp_rank);
        if (weight.shape != planned)
          refuse(fmt::format("a rank's part of {} was {}, and is planned to be {}", tensor.name,
                             weight.shape.text(), planned.text()));
      }
    }
    for (const NamedTensor& tensor : plan.tensors())
      if (!used[tensor.first_row]) refuse(fmt::format("{} was never used", tensor.name));
  }
}

}  // namespace tplab
