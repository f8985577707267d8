// What a training run begins with: the run that it goes on with, a model, and what it learns from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cli/train_settings.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/training/dataset.h"
#include "model/weights.h"

namespace tplab::cli {

class TrainStart {
 public:
  // settings: outlive this, and are completed by what is found.
  explicit TrainStart(TrainSettings& settings) : settings_(settings) {}

  // --resume: the settings come from the run's checkpoint, and the command line may change some.
  // out: where the run is, unless it is given; "out" for a new one.
  // Throws Error(bad_file) for a folder that no run left.
  void take_up(const std::string& resume, std::string& out);
  // The model and the data, after take_up(). Throws Error(usage) for two that do not fit.
  void open_model();
  // Throws Error(bad_file) for a number that is none, before the first step, whose loss would only
  // say that something is no number.
  void check_numbers() const;

  const std::shared_ptr<const TplabCheckpoint>& resumed() const { return resumed_; }  // or null
  const WeightSource& source() const { return *source_; }
  const Architecture& architecture() const { return source_->architecture(); }
  const Dataset& dataset() const { return dataset_; }
  int64_t first_step() const { return first_step_; }

 private:
  std::shared_ptr<const Tokenizer> open_tokenizer(const Architecture* known) const;
  void open_data(const Architecture* known);

  TrainSettings& settings_;
  std::string resume_;
  std::shared_ptr<const TplabCheckpoint> resumed_;  // null from scratch
  std::shared_ptr<const WeightSource> source_;
  Dataset dataset_;
  int64_t first_step_ = 0;
};

}  // namespace tplab::cli
