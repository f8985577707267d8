#include "cli/train_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/checkpoints/tplab_checkpoint.h"
#include "sim/text/bytes_text.h"
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

TrainWatch::TrainWatch(Rank& rank, const LoopOptions& loop, int64_t warmup_steps,
                       const std::optional<KeptBest>& best_before, RankTraining& training)
    : rank_(rank),
      shows_(rank.global_index() == 0),
      first_step_(loop.first_step),
      last_step_(loop.steps),
      warmup_steps_(warmup_steps),
      lowest_(best_before),
      training_(training) {
  training_.use.dp = rank.dp_index();
  training_.use.tp = rank.index();
  training_.best = best_before;
  training_.done = loop.first_step;
}

void TrainWatch::add(const StepRecord& record) {
  training_.steps.push_back(record);
  if (std::ssize(training_.steps) > warmup_steps_) {
    training_.use.step_time_s += record.step_time_s;
    training_.use.add(rank_.ledger().events());
  }
  if (!shows_) return;
  const double seconds = recent_step_seconds(training_.steps);
  const int64_t done = record.step + 1;
  progress_.show(
      fmt::format("step {}/{}, {} left, loss {:.4f}, {:.0f} tokens/s", done, last_step_,
                  time_left(seconds * static_cast<double>(last_step_ - done)), record.loss,
                  static_cast<double>(record.tokens) / seconds),
      static_cast<double>(done - first_step_) / static_cast<double>(last_step_ - first_step_));
}

void TrainWatch::add_evaluation(int64_t done, const Evaluation& evaluation) {
  training_.evaluations.push_back({done, evaluation});
  if (!shows_) return;
  progress_.erase();
  to_stderr("step {}: train loss {:.4f}, val loss {:.4f}, {:.1f} ms a step\n", done,
            evaluation.train_loss, evaluation.val_loss, 1e3 * recent_step_seconds(training_.steps));
  note_rise(done, evaluation.val_loss);
}

// Said once: a model that has begun to learn its text by heart goes on doing so.
void TrainWatch::note_rise(int64_t done, double val_loss) {
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

void TrainWatch::saved(const SavePoint& point, bool is_best) {
  training_.last_saved = point;
  if (is_best) training_.best = KeptBest{point.step, point.val_loss};
}

void TrainWatch::finish(int64_t done) {
  if (shows_) progress_.erase();
  training_.done = done;
}

TrainOutcome::TrainOutcome(TrainingResults results, const MemoryForecast& forecast,
                           int64_t last_step, std::vector<RankTraining> ranks)
    : results_(std::move(results)),
      forecast_(forecast),
      last_step_(last_step),
      ranks_(std::move(ranks)) {}

// Times are rank 0's, memory that of the rank that has most.
TrainingResults TrainOutcome::merged() const {
  TrainingResults results = results_;
  results.steps = ranks_[0].steps;
  for (const RankTraining& rank : ranks_) {
    results.ranks.push_back(rank.use);
    for (size_t i = 0; i < std::min(rank.steps.size(), results.steps.size()); ++i) {
      StepRecord& most = results.steps[i];
      for (const auto member : {&StepRecord::memory_allocated_bytes, &StepRecord::memory_peak_bytes,
                                &StepRecord::activation_bytes})
        most.*member = std::max(most.*member, rank.steps[i].*member);
    }
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
      {"best", best() ? file(kBestFile, best()->step, best()->val_loss) : Json()},
      {"last",
       last_saved() ? file(kLastFile, last_saved()->step, last_saved()->val_loss) : Json()}};
  document["evaluations"] = Json::array();
  for (const RankTraining::Eval& e : ranks_[0].evaluations)
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
      bytes_text(m.gradients), bytes_text(m.moments + m.masters), bytes_text(m.activations),
      bytes_text(m.working), bytes_text(last.activation_bytes), bytes_text(m.activations));
  if (m.activations != forecast_.activations_kept_whole)
    text += fmt::format("; without --recompute {}", bytes_text(forecast_.activations_kept_whole));
  return text + "\n";
}

std::string TrainOutcome::text() const {
  const TrainingResults results = merged();
  const nlohmann::ordered_json summary = results_json(results)["summary"];
  const auto number = [&](const nlohmann::ordered_json& value, const char* form, double scale = 1) {
    return value.is_number() ? fmt::format(fmt::runtime(form), scale * value.get<double>()) : "-";
  };
  const nlohmann::ordered_json& parts = summary["timing_breakdown"];
  std::string text = fmt::format(
      "{} at tp {}, dp {}: {} ms a step, {} tokens a second\n"
      "time: forward {} %, backward {} %, optimizer {} %, other {} %; in these, communication {} "
      "%\n",
      counted(std::ssize(results.steps), "step"), results.tp, results.dp,
      number(summary["avg_step_time_s"], "{:.2f}", 1e3),
      number(summary["avg_tokens_per_sec"], "{:.0f}"), number(parts["forward_percent"], "{:.0f}"),
      number(parts["backward_percent"], "{:.0f}"), number(parts["optimizer_percent"], "{:.0f}"),
      number(parts["other_percent"], "{:.0f}"),
      number(summary["communication"]["percent"], "{:.1f}"));
  if (!results.steps.empty()) text += memory_text(results.steps.back());
  return text;
}

}  // namespace tplab::cli
