#include "tests/verify/random_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "model/init.h"

namespace tplab::testing {
namespace {

using Engine = std::mt19937_64;

int64_t pick(Engine& engine, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(engine);
}
bool happens(Engine& engine, double probability) {
  return std::uniform_real_distribution<>()(engine) < probability;
}
double between(Engine& engine, double least, double most) {  // evenly in the logarithm
  return std::exp(std::uniform_real_distribution<>(std::log(least), std::log(most))(engine));
}

// Initial weights, each parameter times a factor of its own, rounded to f32 as a file holds them.
class OddWeights : public WeightSource {
 public:
  // odd: the largest factor, and one over the smallest. Norms' weights are ordinary below 100.
  OddWeights(const GptConfig& config, uint64_t seed, double odd)
      : architecture_(config), seed_(seed) {
    const auto initial = initial_weights(config, {.seed = seed, .draw_biases = true});
    Engine engine(seed);
    for (const NamedTensor& p : named_tensors(config)) {
      const bool ordinary = odd == 1 || (odd < 100 && p.name.find(".ln_") != std::string::npos);
      const double factor = ordinary ? 1 : between(engine, 1 / odd, odd);
      Whole& whole = wholes_[p.name];
      whole.cols = cols_of(p.shape);
      whole.values.resize(static_cast<size_t>(p.shape[0] * whole.cols));
      initial->read(p.name, {{{0, p.shape[0]}}, {0, whole.cols}},
                    {DType::f64, whole.values.data(), p.shape[0] * whole.cols});
      for (double& v : whole.values) v = static_cast<float>(factor * v);
    }
  }
  const Architecture& architecture() const override { return architecture_; }
  std::string description() const override { return fmt::format("random model {}", seed_); }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    const Whole& whole = wholes_.find(parameter)->second;
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      auto* to = static_cast<Real*>(out.data);
      for (const Range& rows : slice.rows)
        for (int64_t row = rows.begin; row < rows.end; ++row)
          for (int64_t col = slice.cols.begin; col < slice.cols.end; ++col)
            *to++ = static_cast<Real>(whole.values[static_cast<size_t>(row * whole.cols + col)]);
    });
  }

 private:
  struct Whole {
    int64_t cols = 0;
    std::vector<double> values;
  };
  Architecture architecture_;
  uint64_t seed_;
  std::map<std::string, Whole, std::less<>> wholes_;
};

GptConfig draw_config(Engine& engine) {
  GptConfig c;
  c.n_layer = pick(engine, 1, 3);
  const int64_t head_size = pick(engine, 1, 8), most = std::max<int64_t>(1, 64 / head_size);
  c.n_head = std::min(most, int64_t{1} << pick(engine, 0, 3));
  if (happens(engine, 0.2)) c.n_head = pick(engine, 1, most);
  c.n_embd = c.n_head * head_size;
  if (c.n_embd < 2) c.n_embd = c.n_head * 2;
  c.n_inner = happens(engine, 0.7) ? 4 * c.n_embd : 4 * pick(engine, 1, c.n_embd);
  c.block_size = pick(engine, 1, 24);
  c.vocab_size = happens(engine, 0.3) ? pick(engine, 2, 8) : pick(engine, 2, 100);
  c.bias = happens(engine, 0.7);
  c.tied_head = happens(engine, 0.6);
  c.gelu = happens(engine, 0.5) ? Gelu::erf : Gelu::tanh;
  return c;
}

// Half are ordinary; the others' factors are up to 10, 30 or 1000 and down to one over that.
double draw_oddness(Engine& engine) {
  const double of_ten[] = {1, 1, 1, 1, 1, 10, 10, 30, 30, 1000};
  return of_ten[pick(engine, 0, 9)];
}

Tokens draw_tokens(Engine& engine, int64_t batch, int64_t length, int64_t vocab) {
  Tokens tokens{batch, length, {}};
  for (int64_t i = 0; i < batch * length; ++i)
    tokens.ids.push_back(static_cast<int32_t>(pick(engine, 0, vocab - 1)));
  return tokens;
}

// 0 / 0 is no error.
double over(double error, double bound) {
  if (error == 0 && bound == 0) return 0;
  if (std::isinf(error) && std::isinf(bound)) return 0;  // relative to an expected zero
  const double ratio = error / bound;
  return std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio;
}

void take(const SiteResult& r, const std::string& run, Closest& closest) {
  const double rms = over(r.rms, r.bound.rms), max_abs = over(r.max_abs, r.bound.max_abs);
  double ratio = std::max(rms, max_abs);
  if (!r.good && ratio <= 1) ratio = std::numeric_limits<double>::infinity();
  if (ratio <= closest.ratio) return;
  closest = {ratio, fmt::format("{}, {} ({})", run, r.site, rms > max_abs ? "rms" : "largest")};
}

}  // namespace

RandomModel::RandomModel(uint64_t seed) : seed_(seed) {
  Engine engine(seed * 7919 + 17);
  config_ = draw_config(engine);
  weights_ = std::make_shared<OddWeights>(config_, seed, draw_oddness(engine));
  batch_ = happens(engine, 0.3) ? 1 : pick(engine, 1, 4);
  length_ = happens(engine, 0.2) ? 1 : pick(engine, 1, config_.block_size);
  const bool even = batch_ % 2 == 0;
  for (int tp : {1, 2, 4})
    if (config_.n_head % tp == 0 && config_.n_inner % tp == 0) tps_.push_back(tp);
  std::vector<Parallelism> all;
  for (const Parallelism& mesh : training_meshes(tps_, even ? std::vector{1, 2} : std::vector{1}))
    if (!mesh.sp || length_ % mesh.tp == 0) all.push_back(mesh);
  std::sample(all.begin(), all.end(), std::back_inserter(meshes_), 2, engine);
  steps_ = std::max(0, static_cast<int>(pick(engine, -1, 2)));
  learning_rate_ = happens(engine, 0.7) ? 1e-3 : between(engine, 1e-5, 1e-1);
}

std::string RandomModel::text() const {
  return fmt::format(
      "seed {}: {} layers, {} heads, width {}, MLP {}, block {}, vocabulary {}{}{}, {}; {} x {}; "
      "{} steps, lr {:.2g}",
      seed_, config_.n_layer, config_.n_head, config_.n_embd, config_.n_inner, config_.block_size,
      config_.vocab_size, config_.bias ? "" : ", no bias", config_.tied_head ? "" : ", untied",
      config_.gelu == Gelu::erf ? "erf" : "tanh", batch_, length_, steps_, learning_rate_);
}

Report RandomModel::verify_forward() const {
  Engine engine(seed_ * 31 + 5);
  VerifyOptions options;
  options.dtypes = {DType::f64, DType::f32, DType::bf16};
  options.meshes = forward_meshes(tps_);
  TrainingBatch& batch = options.batches.emplace_back();
  batch.tokens = draw_tokens(engine, batch_, length_, config_.vocab_size);
  batch.targets = draw_tokens(engine, batch_, length_, config_.vocab_size).ids;
  return verify(*weights_, options);
}

Report RandomModel::verify_training() const {
  Engine engine(seed_ * 37 + 7);
  VerifyOptions options;
  options.backward = true;
  options.meshes = meshes_;
  for (int i = 0; i <= steps_; ++i)
    options.batches.push_back({draw_tokens(engine, batch_, length_, config_.vocab_size),
                               draw_tokens(engine, batch_, length_, config_.vocab_size).ids});
  options.recipe.learning_rate = learning_rate_;
  options.dtypes = {DType::f32, DType::bf16};
  if (seed_ % 4 == 0) options.dtypes.push_back(DType::f64);
  return tplab::verify(*weights_, options);
}

Closest closest_forward(const Report& report, DType dtype) {
  Closest closest;
  for (const RunResult& run : report.runs) {
    if (run.dtype != dtype) continue;
    const std::string text = fmt::format("tp {}, {}", run.mesh.tp, name(dtype));
    for (const SiteResult& site : run.results) take(site, text, closest);
    take(run.decode, text, closest);
    take({"loss", "", 0, run.loss_error, {0, run.loss_bound}, true, true}, text, closest);
    if (run.finding && closest.ratio <= 1) closest = {2, text + ", " + run.finding->site};
  }
  return closest;
}

Closest closest_training(const Report& report, DType dtype, bool after) {
  Closest closest;
  for (const RunResult& run : report.runs) {
    if (run.dtype != dtype) continue;
    const std::string text = fmt::format("{}, {}", run.mesh.text(), name(dtype));
    for (const SiteResult& result : run.results)
      if (result.site.starts_with("after.") == after) take(result, text, closest);
    if (!after && run.finding && closest.ratio <= 1) closest = {2, text + ", " + run.finding->site};
  }
  return closest;
}

}  // namespace tplab::testing
