// The settings of a training run: what its checkpoint remembers, and what each of them may be.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "cli/command.h"
#include "cli/settings.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/plan/training_memory.h"
#include "model/training/loop.h"
#include "model/training/trainer.h"
#include "sim/machine/world.h"

namespace tplab::cli {

struct TrainSettings {
  std::string preset = "nano-cpu", checkpoint, text, data, tokenizer, dtype = "f32";
  std::string data_dtype = "auto";
  std::string algorithm = "direct";
  int64_t layers = 0, heads = 0, width = 0, block = 0;  // 0: the preset's
  bool bias = false, special = true;
  MachineChoice machine;  // where this process runs it: not remembered
  Parallelism parallelism;
  int64_t batch = 12, seq = 0;    // seq 0: the block
  Schedule schedule{.decay = 0};  // 0: all steps
  OptimizerOptions optimizer{.beta2 = 0.99};
  double dropout = 0;
  uint64_t seed = 1337;
  int64_t steps = 2000, eval_interval = 250, eval_batches = 20;

  void add_options(CLI::App& app);
  nlohmann::json to_json() const { return remembered_.to_json(); }
  // The same for a checkpoint in this folder: with the ways from there to --text and --data.
  nlohmann::json to_json(const std::string& folder) const;

  // A new run on the documentation, which is small, ends before it knows it by heart: after 1000
  // steps it wrote words and its val loss still fell, after 2000 it had risen from 2.10 to 2.46.
  void suit_documentation() {
    if (text_or_data().empty() && !given("steps")) steps = 1000;
  }

  // Takes from a run's checkpoint what the command line did not give. Throws Error(bad_file) for a
  // value that cannot be, Error(usage) if the command line asks for another model.
  void take_up(const TplabCheckpoint& run);
  // Throws Error(usage) for settings that contradict each other, Error(bad_file) if all of those
  // are the resumed run's.
  void check() const;
  // The same if such a model cannot train like this: lengths, meshes. And Error(unavailable) for
  // too little memory.
  void check(const Architecture& architecture) const;

  // What --text, or --data, names; of a resumed run, where that is now. Empty: neither.
  std::string text_or_data() const;
  bool given(const std::string& name) const { return remembered_.given(name); }

  GptConfig new_model(int64_t vocab_size) const;  // checked
  TrainerOptions trainer() const;
  LoopOptions loop(int64_t first_step) const;
  WorldOptions world() const;
  MemoryForecast forecast(const Architecture& architecture) const;

 private:
  void check_same_model(const TplabCheckpoint& run) const;
  void check_new_model() const;
  void blame_file(const std::function<void()>& checks) const;

  Settings remembered_;
  std::string resumed_;  // the checkpoint's path; empty from scratch
  std::string found_;    // text_or_data(), if it is not as it was named
};

}  // namespace tplab::cli
