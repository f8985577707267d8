#include "model/init.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "sim/error.h"
#include "sim/random.h"

namespace tplab {

namespace {

// value = mean + deviation * normal.
struct Distribution {
  float mean, deviation;
};

Distribution distribution_of(std::string_view name, const GptConfig& config, bool draw_biases) {
  const float small = draw_biases ? 0.02f : 0.0f;
  if (name.ends_with(".bias")) return {0.0f, small};
  if (name.find(".ln_") != std::string_view::npos) return {1.0f, small};
  if (name.ends_with("c_proj.weight"))
    return {0.0f, 0.02f / std::sqrt(2.0f * static_cast<float>(config.n_layer))};
  return {0.0f, 0.02f};
}

class InitialWeights : public WeightSource {
 public:
  InitialWeights(const GptConfig& config, InitOptions options)
      : config_(config), options_(options) {
    for (ParameterInfo& p : parameters(config))
      columns_.emplace(std::move(p.name), cols_of(p.shape));
  }
  const GptConfig& config() const override { return config_; }
  std::string description() const override {
    return fmt::format("initial weights, seed {}", options_.seed);
  }
  std::string stored_dtype() const override { return "f32"; }

  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    const int64_t cols = columns_of(parameter);
    const Distribution d = distribution_of(parameter, config_, options_.draw_biases);
    const RandomStream stream(options_.seed, parameter);
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      auto* to = static_cast<Real*>(out.data);
      for (const Range& rows : slice.rows) {
        for (int64_t row = rows.begin; row < rows.end; ++row) {
          to = fill(stream, d, row * cols + slice.cols.begin, slice.cols.size(), to);
        }
      }
    });
  }

 private:
  int64_t columns_of(std::string_view parameter) const {
    const auto at = columns_.find(parameter);
    if (at != columns_.end()) return at->second;
    fail(fmt::format("the model has no parameter '{}'", parameter), "");
  }

  // The values at global indices first .. first + count - 1.
  template <class Real>
  static Real* fill(const RandomStream& stream, Distribution d, int64_t first, int64_t count,
                    Real* to) {
    int64_t i = first;
    while (i < first + count) {
      const std::array<float, 4> four = stream.normals(static_cast<uint64_t>(i / 4));
      for (; i < first + count; ++i) {
        *to++ = static_cast<Real>(d.mean + d.deviation * four[static_cast<size_t>(i % 4)]);
        if (i % 4 == 3) {
          ++i;
          break;
        }
      }
    }
    return to;
  }

  GptConfig config_;
  InitOptions options_;
  std::map<std::string, int64_t, std::less<>> columns_;  // of each parameter
};

}  // namespace

std::unique_ptr<WeightSource> initial_weights(const GptConfig& config, InitOptions options) {
  check(config, "the model to initialise");
  return std::make_unique<InitialWeights>(config, options);
}

}  // namespace tplab
