#include "cli/train_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/checkpoints/tplab_checkpoint.h"
#include "sim/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

std::string time_left(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02d} s", s / 60, s % 60);
  return fmt::format("{} h {:02d} min", s / 3600, s / 60 % 60);
}

// Of the last steps, so that the figure follows the machine.
double recent_step_seconds(const std::vector<StepRecord>& steps) {
  const size_t count = std::min<size_t>(steps.size(), 20);
  double total = 0;
  for (size_t i = steps.size() - count; i < steps.size(); ++i) total += steps[i].step_time_s;
  return total / static_cast<double>(count);
}

}  // namespace

TrainOutcome::TrainOutcome(TrainingResults results, MemoryForecast forecast,
                           std::optional<KeptBest> best_before, int64_t first_step,
                           int64_t last_step)
    : forecast_(forecast),
      best_before_(best_before),
      results_(std::move(results)),
      first_step_(first_step),
      last_step_(last_step),
      done_(first_step),
      steps_(static_cast<size_t>(results_.tp * results_.dp)),
      use_(steps_.size()) {}

void TrainOutcome::add(Rank& rank, const StepRecord& record) {
  const auto g = static_cast<size_t>(rank.global_index());
  steps_[g].push_back(record);
  RankUse& use = use_[g];
  use.dp = rank.dp_index();
  use.tp = rank.index();
  if (static_cast<int64_t>(steps_[g].size()) > results_.warmup_steps) {
    use.step_time_s += record.step_time_s;
    use.add(rank.ledger().events());
  }
  if (g > 0) return;
  const double seconds = recent_step_seconds(steps_[0]);
  const int64_t done = record.step + 1;
  progress_.show(
      fmt::format("step {}/{}, {} left, loss {:.4f}, {:.0f} tokens/s", done, last_step_,
                  time_left(seconds * static_cast<double>(last_step_ - done)), record.loss,
                  static_cast<double>(record.tokens) / seconds),
      static_cast<double>(done - first_step_) / static_cast<double>(last_step_ - first_step_));
}

void TrainOutcome::add_evaluation(int64_t done, const Evaluation& evaluation) {
  progress_.erase();
  to_stderr("step {}: train loss {:.4f}, val loss {:.4f}, {:.1f} ms a step\n", done,
            evaluation.train_loss, evaluation.val_loss, 1e3 * recent_step_seconds(steps_[0]));
  evaluations_.push_back({done, evaluation});
  note_rise(done, evaluation.val_loss);
}

// Said once: a model that has begun to learn its text by heart goes on doing so.
void TrainOutcome::note_rise(int64_t done, double val_loss) {
  constexpr int kPatience = 3;
  if (!lowest_ || val_loss < lowest_->val_loss) {
    lowest_ = KeptBest{done, val_loss};
    evaluations_above_ = 0;
  } else if (++evaluations_above_ == kPatience) {
    to_stderr(
        "tplab: note: the val loss has not fallen since step {} ({:.4f}): the model may be\n"
        "  learning its text by heart; best.safetensors keeps that step\n",
        lowest_->step, lowest_->val_loss);
  }
}

void TrainOutcome::saved(const SavePoint& point, bool is_best) {
  last_saved_ = point;
  if (is_best) best_ = KeptBest{point.step, point.val_loss};
}

void TrainOutcome::finish(int64_t done) {
  progress_.erase();
  done_ = done;
}

// Times are rank 0's, memory that of the rank that has most.
TrainingResults TrainOutcome::merged() const {
  TrainingResults results = results_;
  results.steps = steps_[0];
  results.ranks = use_;
  for (const auto& steps : steps_)
    for (size_t i = 0; i < std::min(steps.size(), results.steps.size()); ++i) {
      StepRecord& most = results.steps[i];
      for (const auto member : {&StepRecord::memory_allocated_bytes, &StepRecord::memory_peak_bytes,
                                &StepRecord::activation_bytes})
        most.*member = std::max(most.*member, steps[i].*member);
    }
  return results;
}

nlohmann::ordered_json TrainOutcome::document() const {
  using Json = nlohmann::ordered_json;
  const TrainingResults results = merged();
  Json document = results_json(results);
  document["activations"] = {
      {"measured_bytes",
       results.steps.empty() ? Json() : Json(results.steps.back().activation_bytes)},
      {"predicted_bytes", forecast_.memory.activations},
      {"kept_whole_bytes", forecast_.activations_kept_whole},
      {"paper_bytes", forecast_.activations_of_the_paper}};
  const auto file = [](const char* name, int64_t step, double val_loss) {
    return Json{{"file", name},
                {"step", step},
                {"val_loss", std::isfinite(val_loss) ? Json(val_loss) : Json()}};
  };
  document["checkpoints"] = {
      {"best", best_ ? file(kBestFile, best_->step, best_->val_loss) : Json()},
      {"last", last_saved_ ? file(kLastFile, last_saved_->step, last_saved_->val_loss) : Json()}};
  document["evaluations"] = Json::array();
  for (const Eval& e : evaluations_)
    document["evaluations"].push_back(
        {{"step", e.done}, {"train_loss", e.losses.train_loss}, {"val_loss", e.losses.val_loss}});
  return document;
}

std::string TrainOutcome::memory_text(const StepRecord& last) const {
  const TrainingMemory& m = forecast_.memory;
  std::string text = fmt::format(
      "memory of a rank: {} at most; predicted {}: weights {}, gradients {}, AdamW {}, "
      "activations {}, working {}\n"
      "activations kept: {} measured, {} predicted",
      bytes_text(last.memory_peak_bytes), bytes_text(m.total()), bytes_text(m.weights),
      bytes_text(m.gradients), bytes_text(m.moments), bytes_text(m.activations),
      bytes_text(m.working), bytes_text(last.activation_bytes), bytes_text(m.activations));
  if (m.activations != forecast_.activations_kept_whole)
    text += fmt::format("; without --recompute {}", bytes_text(forecast_.activations_kept_whole));
  return text + "\n";
}

std::string TrainOutcome::text() const {
  const nlohmann::ordered_json summary = results_json(merged())["summary"];
  const auto number = [&](const nlohmann::ordered_json& value, const char* form, double scale = 1) {
    return value.is_number() ? fmt::format(fmt::runtime(form), scale * value.get<double>()) : "-";
  };
  const nlohmann::ordered_json& parts = summary["timing_breakdown"];
  std::string text = fmt::format(
      "{} at tp {}, dp {}: {} ms a step, {} tokens a second\n"
      "time: forward {} %, backward {} %, optimizer {} %, other {} %; in these, communication {} "
      "%\n",
      counted(std::ssize(steps_[0]), "step"), results_.tp, results_.dp,
      number(summary["avg_step_time_s"], "{:.2f}", 1e3),
      number(summary["avg_tokens_per_sec"], "{:.0f}"), number(parts["forward_percent"], "{:.0f}"),
      number(parts["backward_percent"], "{:.0f}"), number(parts["optimizer_percent"], "{:.0f}"),
      number(parts["other_percent"], "{:.0f}"),
      number(summary["communication"]["percent"], "{:.1f}"));
  if (!steps_[0].empty()) text += memory_text(merged().steps.back());
  return text;
}

}  // namespace tplab::cli
