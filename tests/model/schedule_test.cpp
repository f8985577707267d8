// The learning rate of each step, at its corners and against nanoGPT's own function.

#include "model/training/schedule.h"

#include <catch2/catch.hpp>

namespace tplab {
namespace {

// nanoGPT's train.py, get_lr(it), word for word. Shares nothing with the schedule but cos().
double nanogpt_get_lr(int64_t it, double learning_rate, int64_t warmup_iters,
                      int64_t lr_decay_iters, double min_lr) {
  if (it < warmup_iters)
    return learning_rate * static_cast<double>(it + 1) / static_cast<double>(warmup_iters + 1);
  if (it > lr_decay_iters) return min_lr;
  const double decay_ratio =
      static_cast<double>(it - warmup_iters) / static_cast<double>(lr_decay_iters - warmup_iters);
  const double coeff = 0.5 * (1.0 + std::cos(3.141592653589793 * decay_ratio));
  return min_lr + coeff * (learning_rate - min_lr);
}

// A few roundings, each of at most 2^-53 of numbers no larger than the learning rate.
bool near(double a, double b) { return std::abs(a - b) <= 1e-15; }

const Schedule kSchedule{.learning_rate = 1e-3, .min_lr = 1e-4, .warmup = 100, .decay = 2000};

}  // namespace

TEST_CASE("schedule: every step's rate is nanoGPT's") {
  for (int64_t step = 0; step <= 2100; ++step) {
    const double expected = nanogpt_get_lr(step, 1e-3, 100, 2000, 1e-4);
    if (!near(kSchedule.learning_rate_at(step), expected)) FAIL("step " << step);
  }
}

TEST_CASE("schedule: the warm-up begins above zero and has not arrived when it ends") {
  CHECK(near(kSchedule.learning_rate_at(0), 1e-3 / 101));
  CHECK(near(kSchedule.learning_rate_at(49), 1e-3 * 50 / 101));
  CHECK(near(kSchedule.learning_rate_at(99), 1e-3 * 100 / 101));
}

TEST_CASE(
    "schedule: the cosine begins at the full rate, is halfway in the middle, ends at min_lr") {
  CHECK(near(kSchedule.learning_rate_at(100), 1e-3));
  CHECK(near(kSchedule.learning_rate_at(1050), 0.5 * (1e-3 + 1e-4)));
  CHECK(kSchedule.learning_rate_at(1999) > 1e-4);
  CHECK(near(kSchedule.learning_rate_at(2000), 1e-4));
  CHECK(kSchedule.learning_rate_at(2001) == 1e-4);
  CHECK(kSchedule.learning_rate_at(1'000'000'000) == 1e-4);
}

TEST_CASE("schedule: it never rises after the warm-up and never falls during it") {
  for (int64_t step = 0; step < 2500; ++step) {
    const double now = kSchedule.learning_rate_at(step),
                 next = kSchedule.learning_rate_at(step + 1);
    const bool right = step < 100 ? next > now : !(next > now);
    if (!right) FAIL("from step " << step);
  }
}

TEST_CASE("schedule: without warm-up the first step has the full rate") {
  const Schedule schedule{.learning_rate = 0.5, .min_lr = 0.125, .warmup = 0, .decay = 10};
  CHECK(schedule.learning_rate_at(0) == 0.5);
  CHECK(near(schedule.learning_rate_at(5), 0.3125));
  CHECK(near(schedule.learning_rate_at(10), 0.125));
}

TEST_CASE("schedule: a decay that ends where the warm-up does is min_lr from there on, not NaN") {
  const Schedule schedule{.learning_rate = 0.5, .min_lr = 0.125, .warmup = 7, .decay = 7};
  CHECK(schedule.learning_rate_at(6) == 0.5 * 7 / 8);
  CHECK(schedule.learning_rate_at(7) == 0.125);
  CHECK(schedule.learning_rate_at(8) == 0.125);
  const Schedule shorter{.learning_rate = 0.5, .min_lr = 0.125, .warmup = 7, .decay = 3};
  CHECK(shorter.learning_rate_at(5) == 0.5 * 6 / 8);
  CHECK(shorter.learning_rate_at(7) == 0.125);
}

TEST_CASE("schedule: a constant rate is a min_lr equal to it") {
  const Schedule schedule{.learning_rate = 0.25, .min_lr = 0.25, .warmup = 0, .decay = 100};
  for (const int64_t step : {0, 1, 50, 99, 100, 101})
    CHECK(schedule.learning_rate_at(step) == 0.25);
}

}  // namespace tplab
