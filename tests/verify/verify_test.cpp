// The verifier passes what is right and names the site of what is not.
#include "verify/verify.h"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <numeric>

#include "sim/comm_breakage.h"
#include "sim/error.h"
#include "tests/verify/small_training.h"
#include "verify/truth.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// One layer more than kSmall.
const GptConfig kConfig{
    .n_layer = 3, .n_head = 4, .n_embd = 32, .block_size = 16, .vocab_size = 67, .n_inner = 128};

std::unique_ptr<WeightSource> weights(const GptConfig& config = kConfig) {
  return small_weights(config);
}

VerifyOptions options_for(const std::vector<int>& tps) {
  VerifyOptions options;
  options.meshes = forward_meshes(tps);
  auto& [tokens, targets] = options.batches.emplace_back();
  tokens = {2, 12, {}};
  for (int32_t i = 0; i < 24; ++i) {
    tokens.ids.push_back((i * 29 + 7) % 67);
    targets.push_back((i * 31 + 5) % 67);
  }
  return options;
}

// Weights of which one parameter reads differently.
class MutantWeights : public WeightSource {
 public:
  using Edit = std::function<void(const Slice& slice, std::vector<double>& values)>;
  MutantWeights(const WeightSource& honest, std::string parameter, Edit edit)
      : honest_(honest), parameter_(std::move(parameter)), edit_(std::move(edit)) {}
  const Architecture& architecture() const override { return honest_.architecture(); }
  std::string description() const override { return "mutant"; }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    if (parameter != parameter_) return honest_.read(parameter, slice, out);
    std::vector<double> values(static_cast<size_t>(slice.count()));
    honest_.read(parameter, slice, {DType::f64, values.data(), slice.count()});
    edit_(slice, values);
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      auto* to = static_cast<Real*>(out.data);
      for (double v : values) *to++ = static_cast<Real>(v);
    });
  }

 private:
  const WeightSource& honest_;
  std::string parameter_;
  Edit edit_;
};

// An all-reduce at one site is dropped, or its result changed afterwards.
using Change = std::function<void(Rank& rank, Array& sum)>;
CommBreakage broken_sum(const std::string& site, const Change& change = {}) {
  return {.move = [=](Transport& honest, Rank& rank, const Post& call, const Array& in,
                      Array& out) -> int64_t {
    const bool here = call.op == Op::all_reduce && call.site->path() == site;
    if (here && !change) return 0;
    const int64_t bytes = honest.move(call, in, out);
    if (here) change(rank, out);
    return bytes;
  }};
}

}  // namespace

TEST_CASE("verify: the model is right at every tp, in both dtypes, for every architecture") {
  for (bool bias : {true, false}) {
    for (bool tied : {true, false}) {
      for (Gelu kind : {Gelu::erf, Gelu::tanh}) {
        GptConfig config = kConfig;
        config.bias = bias;
        config.tied_head = tied;
        config.gelu = kind;
        const Report report = verify(*weights(config), options_for({1, 2, 4}));
        for (const RunResult& run : report.runs) {
          INFO(
              "tp " << run.mesh.tp << " " << name(run.dtype) << " bias " << bias << " tied " << tied
                    << (run.finding ? " at " + run.finding->site + ": " + run.finding->where : ""));
          CHECK(run.good());
        }
      }
    }
  }
}

TEST_CASE("verify: every algorithm gives the right result and sends what it should") {
  for (Algorithm a : {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    VerifyOptions options = options_for({2, 4});
    options.algorithm = a;
    const Report report = verify(*weights(), options);
    for (const RunResult& run : report.runs) {
      INFO(name(a) << ": " << run.disagreement);
      CHECK(run.good());
    }
  }
}

TEST_CASE("verify: counts are two all-reduces a block, one for the embedding, and the gather") {
  const Report report = verify(*weights(), options_for({1, 2, 4}));
  for (const RunResult& run : report.runs) {
    const size_t expected = run.mesh.tp == 1 ? 0 : static_cast<size_t>(2 * 3 + 1 + 1);
    for (const auto& events : run.events) {
      CHECK(events.size() == expected);
      // FACTS: an all-reduce sends 2 (t-1)/t S a rank, S being the stream's bytes.
      for (const Event& e : events) {
        const int64_t bytes = e.elements * size_bytes(run.dtype);
        const int64_t t = run.mesh.tp;
        if (e.op == Op::all_reduce) {
          CHECK(e.elements == 2 * 12 * 32);
          CHECK(e.wire_bytes == 2 * (t - 1) * bytes / t);
        } else {
          CHECK(e.op == Op::all_gather);
          CHECK(e.wire_bytes == (t - 1) * bytes / t);
        }
      }
    }
  }
}

TEST_CASE("verify: the model is right where ranks hold unequal parts") {
  VerifyOptions options = options_for({4, 5, 6});
  for (Parallelism& mesh : options.meshes) mesh.uneven = true;
  const Report report = verify(*small_weights(kUneven), options);
  for (const RunResult& run : report.runs) {
    INFO("tp " << run.mesh.tp << " " << name(run.dtype)
               << (run.finding ? " at " + run.finding->site + ": " + run.finding->where : ""));
    CHECK(run.good());
  }
}

TEST_CASE("verify: a plan that cuts a head in two does not run") {
  VerifyOptions options = options_for({4});
  for (Parallelism& mesh : options.meshes) mesh.uneven = true;
  options.breakage.plan = [](ShardPlan& plan) {
    for (ParameterRow& row : plan.rows()) row.unit = 1;
  };
  CHECK_THROWS_WITH(
      verify(*small_weights(kUneven), options),
      Catch::Contains("block 0/attn: cached_attention needs qkv [B, T, (H + 2 K) D]"));
}

// Reads of q, k and v as if a rank's part of [Q|K|V] were one range of its rows.
class ContiguousQkv final : public WeightSource {
 public:
  explicit ContiguousQkv(const WeightSource& honest) : honest_(honest) {}
  const Architecture& architecture() const override { return honest_.architecture(); }
  std::string description() const override { return "contiguous QKV"; }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view tensor, const Slice& slice, HostSpan out) const override {
    if (tensor.find("c_attn") == tensor.npos) return honest_.read(tensor, slice, out);
    const int64_t C = architecture().width, each = slice.row_count();
    const int64_t block = slice.rows[0].begin / C, own = slice.rows[0].begin % C;
    const int64_t first = 3 * own + block * each;  // of 3 each, from rank * 3 each on
    honest_.read(tensor, {{{first, first + each}}, slice.cols}, out);
  }

 private:
  const WeightSource& honest_;
};

TEST_CASE("verify: a contiguous split of the fused QKV is caught where it happens") {
  const auto source = weights();
  const ContiguousQkv mutant(*source);
  VerifyOptions options = options_for({2, 4});
  options.breakage.weights = &mutant;
  check_caught(verify(*source, options), "block 0/attn/qkv");
}

TEST_CASE("verify: a dropped all-reduce is caught at its site") {
  VerifyOptions options = options_for({2, 4});
  options.breakage.comm = broken_sum("block 1/mlp");
  check_caught(verify(*weights(), options), "block 1/mlp/proj", "all-reduce is missing");
}

TEST_CASE("verify: a bias added on every rank is caught, and its multiple named") {
  const auto source = weights();
  const std::vector<double> bias = whole_parameters(*source)("transformer.h.2.attn.c_proj.bias");
  VerifyOptions options = options_for({2, 4});
  // With the bias inside the row-parallel product, every rank's term of the sum holds it; one is
  // the model's own, added after the sum.
  options.breakage.comm = broken_sum("block 2/attn", [&](Rank& rank, Array& sum) {
    dispatch_computed(sum.dtype(), [&](auto zero) {
      auto* values = sum.as<decltype(zero)>();
      for (int64_t i = 0; i < sum.count(); ++i)
        values[i] += static_cast<decltype(zero)>((rank.size() - 1) *
                                                 bias[static_cast<size_t>(i) % bias.size()]);
    });
  });
  const Report report = verify(*source, options);
  check_caught(report, "block 2/attn/proj", "times the bias");
}

TEST_CASE("verify: swapped shards are caught at the layer that holds them") {
  const auto source = weights();
  // Every rank loads its neighbour's rows of c_fc.
  const MutantWeights mutant(
      *source, "transformer.h.1.mlp.c_fc.weight", [&](const Slice& slice, auto& values) {
        const int64_t rows = slice.row_count(), F = kConfig.n_inner;
        const int64_t begin = (slice.rows[0].begin + rows) % F;
        source->read("transformer.h.1.mlp.c_fc.weight", {{{begin, begin + rows}}, slice.cols},
                     {DType::f64, values.data(), slice.count()});
      });
  VerifyOptions options = options_for({2, 4});
  options.breakage.weights = &mutant;
  check_caught(verify(*source, options), "block 1/mlp/fc");
}

TEST_CASE("verify: one NaN in one weight of the model is caught at the first site it reaches") {
  const auto source = weights();
  const MutantWeights mutant(
      *source, "transformer.h.1.ln_2.weight",
      [](const Slice&, auto& values) { values[5] = std::numeric_limits<double>::quiet_NaN(); });
  VerifyOptions options = options_for({1, 2, 4});
  options.breakage.weights = &mutant;
  check_caught(verify(*source, options), "block 1/ln_2", "NaN");
}

TEST_CASE(
    "verify: a NaN in the checkpoint itself, which the reference shares, is named and refused") {
  const auto source = weights();
  const MutantWeights mutant(
      *source, "transformer.h.0.mlp.c_proj.weight",
      [](const Slice&, auto& values) { values[0] = std::numeric_limits<double>::quiet_NaN(); });
  CHECK_THROWS_WITH(verify(mutant, options_for({1, 2})),
                    Catch::Contains("transformer.h.0.mlp.c_proj.weight[0, 0] is NaN"));
}

TEST_CASE("verify: an error of one part in a thousand in one weight shows in f32") {
  const auto source = weights();
  const MutantWeights mutant(*source, "transformer.h.0.attn.c_proj.weight",
                             [](const Slice& slice, auto& values) {
                               if (slice.cols.begin == 0) values[0] *= 1.001;
                             });
  VerifyOptions options = options_for({1, 2});
  options.breakage.weights = &mutant;
  options.dtypes = {DType::f64};
  check_caught(verify(*source, options), "block 0/attn/proj");
}

TEST_CASE("verify: a rank whose copy differs by one bit is caught") {
  GptConfig config = kConfig;
  config.bias = false;  // adding one could round the difference away
  VerifyOptions options = options_for({2});
  options.dtypes = {DType::f64};
  options.breakage.comm = broken_sum("block 0/mlp", [](Rank& rank, Array& sum) {
    if (rank.index() == 1) *static_cast<uint64_t*>(sum.data()) ^= 1;
  });
  const Report report = verify(*weights(config), options);
  check_caught(report, "block 0/mlp/proj");
  CHECK(report.runs[0].results.size() > 5);
}

TEST_CASE("verify: a collective more than predicted is caught by the ledger") {
  VerifyOptions options = options_for({2});
  options.dtypes = {DType::f64};
  options.breakage.comm.move = [](Transport& honest, Rank&, const Post& call, const Array& in,
                                  Array& out) {
    return honest.move(call, in, out) * (call.site->path() == "block 2/mlp" ? 2 : 1);
  };
  const Report report = verify(*weights(), options);
  check_caught(report, "ledger");
  CHECK_THAT(report.runs[0].disagreement, Catch::Contains("block 2/mlp"));
}

TEST_CASE("verify: a tp that does not divide is refused before anything runs") {
  CHECK_THROWS_AS(verify(*weights(), options_for({1, 3})), Error);
}

TEST_CASE("verify: bounds leave room for rounding and none for bugs") {
  // In f64 a bound is a bug's size times 1e-10 or less: the mutants above differ by 1e-4 and more.
  const Report report = verify(*weights(), options_for({4}));
  for (const RunResult& run : report.runs) {
    for (const SiteResult& s : run.results) {
      INFO(s.site);
      if (run.dtype == DType::f64) CHECK(s.bound.rms < 1e-13);
      CHECK(s.bound.rms < 1e-4);
    }
  }
}
