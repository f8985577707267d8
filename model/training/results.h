// The results file of a training run: what each step took, and what the steps were like on average.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/config.h"
#include "sim/machine/ledger.h"

namespace tplab {

// One optimizer step of the whole mesh. Times are rank 0's.
struct StepRecord {
  int64_t step = 0;                    // from 0
  double loss = 0;                     // the mean over the whole batch
  double step_time_s = 0;              // all of it, batches and logging included
  double forward_time_s = 0;           // of all micro-batches
  double backward_time_s = 0;          //   gradients summed over replicas included
  double optimizer_time_s = 0;         // the norm and the update
  double communication_time_s = 0;     // part of the three above: in collectives, waiting included
  int64_t tokens = 0, samples = 0;     // of the whole batch, over all replicas and micro-batches
  int64_t memory_allocated_bytes = 0;  // on the rank that has most: when the step was over,
  int64_t memory_peak_bytes = 0;       // and at most since the run began
  int64_t activation_bytes = 0;        // kept by the last forward pass for its backward pass
};

// What one rank did in the steps that count for the averages.
struct RankUse {
  int dp = 0, tp = 0;  // its place on the mesh
  double step_time_s = 0;
  double communication_time_s = 0;
  int64_t tp_bytes = 0, dp_bytes = 0;  // sent to other ranks, along each axis

  // Adds the collectives of a step to the communication.
  void add(const std::vector<Event>& events);
};

struct TrainingResults {
  Architecture model;
  nlohmann::ordered_json options = nlohmann::ordered_json::object();  // the command's
  int tp = 1, dp = 1;
  int64_t warmup_steps = 0;  // so many of the first are left out of the averages
  std::vector<StepRecord> steps;
  std::vector<RankUse> ranks;  // by global index
};

// {"config":  {"tp", "dp", "world_size", "warmup_steps", "model": {..}, "options": {..}},
//  "steps":   [{"step", "loss", "step_time_s", "forward_time_s", "backward_time_s",
//               "optimizer_time_s", "communication_time_s", "tokens_per_sec", "samples_per_sec",
//               "memory_allocated_gb", "memory_peak_gb"}],
//  "summary": {"steps", "measured_steps", "final_loss", "peak_memory_gb",
//              "avg_loss", "avg_step_time_s", "std_step_time_s", "avg_forward_time_s",
//              "avg_backward_time_s", "avg_optimizer_time_s", "avg_communication_time_s",
//              "avg_tokens_per_sec", "std_tokens_per_sec", "avg_samples_per_sec",
//              "timing_breakdown": {"forward_percent", "backward_percent", "optimizer_percent",
//                                   "other_percent"},
//              "communication": {"percent", "bytes", "bytes_per_step", "tp_bytes", "dp_bytes"},
//              "ranks": [{"rank", "dp", "tp", "utilisation_percent", "communication_time_s",
//                         "tp_bytes", "dp_bytes"}]}}
//
// Seconds; GB = 1e9 bytes. `steps` has every step; avg_, std_, percentages and bytes are of the
// measured ones, those after the warm-up. avg_tokens_per_sec is all tokens by all time, and so is
// avg_samples_per_sec; std_ is the sample's (n - 1), of the steps' own values. Percentages are of
// the time of the steps: the breakdown's four add up to 100, and communication is part of its first
// three. A rank's utilisation is its time outside collectives: it neither sent nor waited for
// peers. communication bytes are all ranks' together. final_loss and peak_memory_gb are of the
// whole run. What has no value (an average of no steps, the deviation of one, a loss that is not
// finite) is null.
nlohmann::ordered_json results_json(const TrainingResults& results);

std::string results_file_name(int tp, int dp);  // "results_tp2_dp1.json"

bool is_results_file_name(const std::string& name);  // or "results_tp2_dp1-2.json"

// Writes the document to `path` by way of PATH.part, so that a run that is cut off leaves no half
// of a file. Throws as fail_write does.
void write_results(const std::string& path, const nlohmann::ordered_json& document);

}  // namespace tplab
