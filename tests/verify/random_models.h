// Random models, small and odd, for showing that the verifier calls none of them wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "verify/verify.h"

namespace tplab::testing {

// How the worst of a run's numbers stands to its bound, and where.
struct Closest {
  double ratio = 0;  // error over bound; NaN counts as infinite
  std::string where;
};

// Model number `seed`: width 2 to 64, 1 to 3 layers, batches from 1 x 1, biases or none, either
// GELU, tied or untied head, weights of ordinary and of odd sizes.
class RandomModel {
 public:
  explicit RandomModel(uint64_t seed);

  std::string text() const;
  // Forward at each tp of 1, 2 and 4 that divides, in every dtype.
  Report verify_forward() const;
  // Gradients and up to two steps on two meshes, in f32 and bf16, and of every fourth model in f64
  // too.
  Report verify_training() const;

 private:
  uint64_t seed_;
  GptConfig config_;
  std::shared_ptr<const WeightSource> weights_;
  int64_t batch_, length_;
  std::vector<int> tps_;
  std::vector<Parallelism> meshes_;
  int steps_;
  double learning_rate_;
};

// Of all runs of that dtype: the number that came closest to its bound.
Closest closest_forward(const Report& report, DType dtype);
// Of what the steps left in the parameters, or of all else.
Closest closest_training(const Report& report, DType dtype, bool after);

}  // namespace tplab::testing
