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
        if (trainer->optimizer().has_masters())
          memory.masters = trainer->optimizer().masters().bytes();
        memory.activations = trainer->step(tokens, tokens.ids, 0, 0).activation_bytes;
        return memory;
      });
  TrainingMemory memory = memories[0];
  memory.working = records[0].memory.peak_bytes - memory.total();
  return memory;
}

}  // namespace

int64_t grown(int64_t at_half, int64_t at_most, int64_t most, int64_t n) {
  const int64_t half = most / 2;
  const double each = static_cast<double>(at_most - at_half) / static_cast<double>(most - half);
  constexpr double kMany = 4e18;  // bytes: below what an int64_t holds
  return static_cast<int64_t>(
      std::min(kMany, static_cast<double>(at_most) + each * static_cast<double>(n - most)));
}

TrainingMemory training_memory(const Architecture& architecture, const TrainerOptions& options,
                               int64_t sequences, int64_t length) {
  TrainerOptions once = options;
  once.parallelism.accumulation = 1;  // the others come after it, in the same memory
  const int64_t most = most_sequences(length);
  TrainingMemory memory = run_step(architecture, once, std::min(sequences, most), length);
  if (sequences <= most) return memory;
  const TrainingMemory half = run_step(architecture, once, most / 2, length);
  for (const auto part : {&TrainingMemory::activations, &TrainingMemory::working})
    memory.*part = grown(half.*part, memory.*part, most, sequences);
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
  const TrainingMemory memory = training_memory(architecture, options, sequences, length);
  int64_t kept_whole = memory.activations;
  if (options.parallelism.recompute) {
    TrainerOptions keeping = options;
    keeping.parallelism.recompute = false;
    kept_whole = training_memory(architecture, keeping, sequences, length).activations;
  }
  return {memory, kept_whole, activations_of_the_paper(architecture, options, sequences, length)};
}

}  // namespace tplab
