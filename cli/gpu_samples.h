// What `tplab monitor` shows of GPUs: tables, lines of CSV, JSON. What is not given is "-" in a
// table, nothing in CSV and null in JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/nvml/gpu_watch.h"
#include "sim/nvml/visible_gpus.h"

namespace tplab::cli {

// All GPUs at one moment, and which of them CUDA sees.
struct GpuSample {
  double seconds = 0;  // since the watch began
  std::vector<GpuReading> gpus;
  VisibleGpus visible;

  // For each, whether its share of the work is of interest: not of what CUDA hides, nor of a GPU
  // that is divided beside its own parts.
  std::vector<bool> counts() const;
};

struct TextLook {
  bool colour = false;
  int columns = 80;
};

// The table of all that changes; `whole`: also UUIDs, processes, and notes.
std::string sample_text(const GpuSample& sample, bool whole, TextLook look);
nlohmann::ordered_json sample_json(const GpuSample& sample);  // {"seconds", "gpus": [...]}

// A line for each GPU. A list in it is separated by semicolons: processes are PID:bytes.
std::string sample_csv_header();
std::string sample_csv(const GpuSample& sample);

// Average, peak and imbalance of each GPU, and what went wrong.
std::string summary_text(const GpuWatch& watch, TextLook look);
nlohmann::ordered_json summary_json(const GpuWatch& watch);

// "+12 %", "-3 %"
std::string imbalance_text(const std::optional<double>& imbalance);

}  // namespace tplab::cli
