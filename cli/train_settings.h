// The settings of a training run: what its checkpoint remembers, and what each of them may be.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "cli/settings.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/training/loop.h"
#include "model/training/memory.h"
#include "model/training/trainer.h"
#include "sim/world.h"

namespace tplab::cli {

struct TrainSettings {
  std::string preset = "nano-cpu", checkpoint, text, data, tokenizer, dtype = "f32";
  std::string data_dtype = "auto";
  std::string algorithm = "direct";
  int64_t layers = 0, heads = 0, width = 0, block = 0;  // 0: the preset's
  bool bias = false, sp = false, sp_regather = false, recompute = false;
  int tp = 1, dp = 1, zero = 0;
  bool uneven = false, special = true;
  int64_t batch = 12, seq = 0, accumulate = 1;  // seq 0: the block
  Schedule schedule{.decay = 0};                // 0: all steps
  OptimizerOptions optimizer{.beta2 = 0.99};
  double dropout = 0;
  uint64_t seed = 1337;
  int64_t steps = 2000, eval_interval = 250, eval_batches = 20;

  void add_options(CLI::App& app);
  nlohmann::json to_json() const { return remembered_.to_json(); }

  // Takes from a run's checkpoint what the command line did not give. Throws Error(bad_file) if
  // that is not in it, Error(usage) if the command line asks for another model.
  void take_up(const std::string& path, const TplabCheckpoint& run);
  // Throws Error(usage) for a number out of range, wherever it came from.
  void check() const;
  // Throws Error(usage) if such a model cannot train like this: lengths, meshes, memory.
  void check(const GptConfig& config) const;

  GptConfig new_model(int64_t vocab_size) const;  // checked
  TrainerOptions trainer() const;
  LoopOptions loop(int64_t first_step) const;
  WorldOptions world() const;
  MemoryForecast forecast(const GptConfig& config) const;

 private:
  void check_same_model(const std::string& path, const TplabCheckpoint& run) const;

  Settings remembered_;
};

}  // namespace tplab::cli
