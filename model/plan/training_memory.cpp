#include "model/plan/training_memory.h"

#include "model/init.h"
#include "sim/machine/world.h"

namespace tplab {

namespace {

// One step on the meta device, on every rank; the first one's.
TrainingMemory run_step(const Architecture& architecture, const TrainerOptions& options,
                        int64_t sequences, int64_t length) {
  const Mesh mesh = options.parallelism.mesh();
  const auto source = initial_weights(architecture);  // of which nothing is read
  const int64_t B = sequences * mesh.dp;
  const Tokens tokens{B, length, std::vector<int32_t>(static_cast<size_t>(B * length))};
  auto [memories, records] =
      World({.tp = mesh.tp, .dp = mesh.dp, .device = "meta"}).run([&](Rank& rank) {
        const auto trainer = make_trainer(rank, *source, options);
        TrainingMemory memory;
        memory.weights = trainer->parameters().values.bytes();
        memory.gradients = trainer->parameters().gradients.bytes();
        memory.moments = trainer->optimizer().m().bytes() + trainer->optimizer().v().bytes();
        memory.activations = trainer->step(tokens, tokens.ids, 0, 0).activation_bytes;
        return memory;
      });
  TrainingMemory memory = memories[0];
  memory.working = records[0].memory.peak_bytes - memory.total();
  return memory;
}

}  // namespace

int64_t bytes_at(int64_t n, int64_t most, const std::function<int64_t(int64_t n)>& bytes) {
  if (n <= most) return bytes(n);
  const auto at_most = static_cast<double>(bytes(most)),
             at_half = static_cast<double>(bytes(most / 2));
  const double each = (at_most - at_half) / static_cast<double>(most - most / 2);
  constexpr double kMany = 4e18;  // bytes: below what an int64_t holds
  return static_cast<int64_t>(std::min(kMany, at_most + each * static_cast<double>(n - most)));
}

TrainingMemory training_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length) {
  TrainerOptions once = options;
  once.parallelism.accumulation = 1;  // the others come after it, in the same memory
  const int64_t most = most_sequences(length);
  const auto at = [&](int64_t TrainingMemory::*part) {
    return bytes_at(sequences, most,
                    [&](int64_t n) { return run_step(architecture, once, n, length).*part; });
  };
  TrainingMemory memory = run_step(architecture, once, std::min(sequences, most), length);
  if (sequences <= most) return memory;
  memory.activations = at(&TrainingMemory::activations);
  memory.working = at(&TrainingMemory::working);
  return memory;
}

namespace {

int64_t activations_of_the_paper(const Architecture& architecture, const TrainerOptions& options,
                                 int64_t sequences, int64_t length) {
  const GptConfig c = gpt_config(architecture);
  const auto tp = static_cast<double>(options.parallelism.tp),
             d = static_cast<double>(size_bytes(options.dtype));
  const auto stream =
      static_cast<double>(sequences * length) * static_cast<double>(c.n_embd);       // sbh
  const auto squares = static_cast<double>(sequences * length * length * c.n_head);  // as²b
  const bool sp = options.parallelism.sp && options.parallelism.tp > 1;
  // Of sbh(16 d + 2), 12 d is split by TP: q, k, v, heads, and twice the 4 h wide hidden layer.
  const double whole = stream * (4 * d + 2) / (sp ? tp : 1), split = stream * 12 * d / tp;
  return static_cast<int64_t>(static_cast<double>(c.n_layer) *
                              (whole + split + squares * (2 * d + 1) / tp));
}

}  // namespace

MemoryForecast forecast_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length) {
  TrainerOptions keeping = options;
  keeping.parallelism.recompute = false;
  return {training_memory(architecture, options, sequences, length),
          training_memory(architecture, keeping, sequences, length).activations,
          activations_of_the_paper(architecture, options, sequences, length)};
}

}  // namespace tplab
