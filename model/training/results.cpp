#include "model/training/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <span>

#include "model/checkpoints/config_json.h"
#include "model/files/json.h"
#include "sim/error.h"

namespace tplab {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN and no infinity.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }
Json ratio(double part, double whole) { return number(part / whole); }
Json percent(double part, double whole) { return number(100 * part / whole); }
double gb(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

Json step_json(const StepRecord& s) {
  return {{"step", s.step},
          {"loss", number(s.loss)},
          {"step_time_s", number(s.step_time_s)},
          {"forward_time_s", number(s.forward_time_s)},
          {"backward_time_s", number(s.backward_time_s)},
          {"optimizer_time_s", number(s.optimizer_time_s)},
          {"communication_time_s", number(s.communication_time_s)},
          {"tokens_per_sec", ratio(static_cast<double>(s.tokens), s.step_time_s)},
          {"samples_per_sec", ratio(static_cast<double>(s.samples), s.step_time_s)},
          {"memory_allocated_gb", gb(s.memory_allocated_bytes)},
          {"memory_peak_gb", gb(s.memory_peak_bytes)}};
}

// Of the measured steps. A mean is NaN where there are none, a deviation where there is one.
class Average {
 public:
  explicit Average(std::span<const StepRecord> steps) : steps_(steps) {}

  template <class F>  // value: StepRecord -> number
  double total(F value) const {
    double sum = 0;
    for (const StepRecord& s : steps_) sum += static_cast<double>(std::invoke(value, s));
    return sum;
  }
  template <class F>
  double mean(F value) const {
    return total(value) / static_cast<double>(steps_.size());
  }
  template <class F>
  double deviation(F value) const {
    if (steps_.size() < 2) return std::nan("");
    const double middle = mean(value);
    double squares = 0;
    for (const StepRecord& s : steps_) {
      const double off = static_cast<double>(std::invoke(value, s)) - middle;
      squares += off * off;
    }
    return std::sqrt(squares / (static_cast<double>(steps_.size()) - 1));
  }

 private:
  std::span<const StepRecord> steps_;
};

Json timing_breakdown(const Average& average) {
  const double all = average.total(&StepRecord::step_time_s);
  const double forward = average.total(&StepRecord::forward_time_s),
               backward = average.total(&StepRecord::backward_time_s),
               optimizer = average.total(&StepRecord::optimizer_time_s);
  return {{"forward_percent", percent(forward, all)},
          {"backward_percent", percent(backward, all)},
          {"optimizer_percent", percent(optimizer, all)},
          {"other_percent", percent(all - forward - backward - optimizer, all)}};
}

Json communication(const Average& average, const std::vector<RankUse>& ranks, int64_t steps) {
  int64_t tp = 0, dp = 0;
  for (const RankUse& rank : ranks) {
    tp += rank.tp_bytes;
    dp += rank.dp_bytes;
  }
  return {{"percent", percent(average.total(&StepRecord::communication_time_s),
                              average.total(&StepRecord::step_time_s))},
          {"bytes", tp + dp},
          {"bytes_per_step", ratio(static_cast<double>(tp + dp), static_cast<double>(steps))},
          {"tp_bytes", tp},
          {"dp_bytes", dp}};
}

Json ranks_json(const std::vector<RankUse>& ranks) {
  Json list = Json::array();
  for (size_t i = 0; i < ranks.size(); ++i) {
    const RankUse& r = ranks[i];
    list.push_back(
        {{"rank", i},
         {"dp", r.dp},
         {"tp", r.tp},
         {"utilisation_percent", percent(r.step_time_s - r.communication_time_s, r.step_time_s)},
         {"communication_time_s", number(r.communication_time_s)},
         {"tp_bytes", r.tp_bytes},
         {"dp_bytes", r.dp_bytes}});
  }
  return list;
}

Json summary(const TrainingResults& results) {
  const std::span<const StepRecord> steps = results.steps;
  const int64_t count = static_cast<int64_t>(steps.size());
  const int64_t warmup = std::clamp<int64_t>(results.warmup_steps, 0, count);
  const Average average(steps.subspan(static_cast<size_t>(warmup)));
  const auto tokens_per_sec = [](const StepRecord& s) {
    return static_cast<double>(s.tokens) / s.step_time_s;
  };
  const double time = average.total(&StepRecord::step_time_s);
  int64_t peak = 0;
  for (const StepRecord& s : steps) peak = std::max(peak, s.memory_peak_bytes);
  return {{"steps", count},
          {"measured_steps", count - warmup},
          {"final_loss", steps.empty() ? Json() : number(steps.back().loss)},
          {"peak_memory_gb", steps.empty() ? Json() : Json(gb(peak))},
          {"avg_loss", number(average.mean(&StepRecord::loss))},
          {"avg_step_time_s", number(average.mean(&StepRecord::step_time_s))},
          {"std_step_time_s", number(average.deviation(&StepRecord::step_time_s))},
          {"avg_forward_time_s", number(average.mean(&StepRecord::forward_time_s))},
          {"avg_backward_time_s", number(average.mean(&StepRecord::backward_time_s))},
          {"avg_optimizer_time_s", number(average.mean(&StepRecord::optimizer_time_s))},
          {"avg_communication_time_s", number(average.mean(&StepRecord::communication_time_s))},
          {"avg_tokens_per_sec", ratio(average.total(&StepRecord::tokens), time)},
          {"std_tokens_per_sec", number(average.deviation(tokens_per_sec))},
          {"avg_samples_per_sec", ratio(average.total(&StepRecord::samples), time)},
          {"timing_breakdown", timing_breakdown(average)},
          {"communication", communication(average, results.ranks, count - warmup)},
          {"ranks", ranks_json(results.ranks)}};
}

}  // namespace

void RankUse::add(const std::vector<Event>& events) {
  for (const Event& event : events) {
    communication_time_s += static_cast<double>(event.end_ns - event.start_ns) * 1e-9;
    (event.axis == Axis::tp ? tp_bytes : dp_bytes) += event.wire_bytes;
  }
}

Json results_json(const TrainingResults& results) {
  Json document = {{"config",
                    {{"tp", results.tp},
                     {"dp", results.dp},
                     {"world_size", results.tp * results.dp},
                     {"warmup_steps", results.warmup_steps},
                     {"model", config_to_json(gpt_config(results.model))},
                     {"options", results.options}}},
                   {"steps", Json::array()},
                   {"summary", summary(results)}};
  for (const StepRecord& step : results.steps) document["steps"].push_back(step_json(step));
  return document;
}

std::string results_file_name(int tp, int dp) {
  return fmt::format("results_tp{}_dp{}.json", tp, dp);
}

bool is_results_file_name(const std::string& name) {
  return name.starts_with("results_tp") && name.ends_with(".json");
}

void write_results(const std::string& path, const Json& document) {
  const std::string part = path + ".part";
  std::ofstream file(part);
  file << json_text(document, 2) << '\n';
  file.close();
  if (file && std::rename(part.c_str(), path.c_str()) == 0) return;
  const int reason = errno;
  std::remove(part.c_str());
  fail_write(path + ": the results could not be written", reason,
             "choose a folder that you can write to");
}

}  // namespace tplab
