#include "model/plan/costs.h"

#include "model/init.h"
#include "model/training/trainer.h"
#include "sim/machine/world.h"
#include "sim/recorder.h"

namespace tplab {

namespace {

class CostRecorder final : public Recorder {
 public:
  void computed(const Computation& computation) override { cost += computation.cost; }
  Cost cost;
};

// body(rank, source, counted) on one rank without numbers: it returns what `counted` says.
template <class Body>
Cost run(const Architecture& architecture, Body body) {
  CostRecorder counted;
  const auto source = initial_weights(architecture);  // of which nothing is read
  const auto [costs, records] =
      World({.device = "meta", .recorders = {&counted}}).run([&](Rank& rank) {
        return body(rank, *source, counted);
      });
  return costs[0];
}

Network network_of(Rank& rank, const WeightSource& source, DType dtype) {
  return Network(rank, source, ShardPlan(source.architecture(), 1), dtype);
}

Tokens zeros(int64_t batch, int64_t length) {
  return {batch, length, std::vector<int32_t>(static_cast<size_t>(batch * length))};
}

}  // namespace

Cost forward_cost(const Architecture& architecture, int64_t batch, int64_t length, DType dtype) {
  return run(architecture, [&](Rank& rank, const WeightSource& source, CostRecorder& counted) {
    const Network network = network_of(rank, source, dtype);
    counted.cost = {};
    (void)network.forward(zeros(batch, length));
    return counted.cost;
  });
}

Cost training_cost(const Architecture& architecture, int64_t batch, int64_t length, DType dtype) {
  return run(architecture, [&](Rank& rank, const WeightSource& source, CostRecorder& counted) {
    const auto trainer = make_trainer(rank, source, {.dtype = dtype});
    counted.cost = {};
    const Tokens tokens = zeros(batch, length);
    (void)trainer->step(tokens, tokens.ids, 0, 0);
    return counted.cost;
  });
}

Cost decode_cost(const Architecture& architecture, int64_t batch, int64_t past, int64_t count,
                 DType dtype) {
  return run(architecture, [&](Rank& rank, const WeightSource& source, CostRecorder& counted) {
    const Network network = network_of(rank, source, dtype);
    KvCache cache = network.new_cache(batch);
    if (past > 0) (void)network.next(zeros(batch, past), cache);
    counted.cost = {};
    for (int64_t step = 0; step < count; ++step) (void)network.next(zeros(batch, 1), cache);
    return counted.cost;
  });
}

}  // namespace tplab
