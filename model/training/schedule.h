// The learning rate of each step: a linear warm-up, then a cosine down to a minimum.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace tplab {

//   step < warmup:          learning_rate (step + 1) / (warmup + 1)
//   warmup <= step <= decay: min_lr + (learning_rate - min_lr) (1 + cos(π r)) / 2,
//                            r = (step - warmup) / (decay - warmup)
//   later:                  min_lr
// source: nanoGPT train.py get_lr; Loshchilov and Hutter 2017
struct Schedule {
  double learning_rate = 1e-3, min_lr = 1e-4;
  int64_t warmup = 100, decay = 2000;  // in steps, both from the beginning of training

  double learning_rate_at(int64_t step) const {  // from 0
    if (step < warmup)
      return learning_rate * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    if (step > decay || decay == warmup) return min_lr;
    const double ratio = static_cast<double>(step - warmup) / static_cast<double>(decay - warmup);
    return min_lr + (learning_rate - min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * ratio));
  }
};

}  // namespace tplab
