// Initial weights are a function of (seed, name, global index).
#include "model/init.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "model/shard_plan.h"
#include "sim/error.h"

using namespace tplab;

namespace {

std::vector<float> read(const WeightSource& source, const std::string& name, const Slice& slice) {
  std::vector<float> values(static_cast<size_t>(slice.count()));
  source.read(name, slice, {DType::f32, values.data(), slice.count()});
  return values;
}

const GptConfig& config() { return find_preset("nano-cpu").config; }

}  // namespace

TEST_CASE("initial weights: every rank's slice is that part of the whole, at every tp") {
  const auto source = initial_weights(config());
  for (int tp : {2, 4}) {
    const ShardPlan plan(config(), tp);
    for (const NamedTensor& tensor : plan.tensors()) {
      const int64_t width = cols_of(tensor.shape);
      const std::vector<float> whole =
          read(*source, tensor.name, {{{0, tensor.shape[0]}}, {0, width}});
      for (int rank = 0; rank < tp; ++rank) {
        const Slice slice = plan.slice(tensor, rank);
        const std::vector<float> part = read(*source, tensor.name, slice);
        size_t next = 0;
        bool equal = true;
        for (const Range& r : slice.rows)
          for (int64_t i = r.begin; i < r.end; ++i)
            for (int64_t j = slice.cols.begin; j < slice.cols.end; ++j)
              equal = equal && part[next++] == whole[static_cast<size_t>(i * width + j)];
        INFO(tensor.name << " rank " << rank << " of " << tp);
        CHECK(equal);
      }
    }
  }
}

TEST_CASE("initial weights: standard deviations are nanoGPT's") {
  const auto source = initial_weights(config());
  const auto deviation = [&](const std::string& name, int64_t rows, int64_t cols) {
    const std::vector<float> values = read(*source, name, {{{0, rows}}, {0, cols}});
    double squares = 0;
    for (float v : values) squares += static_cast<double>(v) * static_cast<double>(v);
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  // Of n draws the sample's deviation is off by 1/sqrt(2n) relative, one sigma; five allowed.
  const double n = 512 * 128, slack = 5 / std::sqrt(2 * n);
  CHECK(deviation("transformer.h.0.mlp.c_fc.weight", 512, 128) == Approx(0.02).epsilon(slack));
  CHECK(deviation("transformer.h.0.mlp.c_proj.weight", 128, 512) ==
        Approx(0.02 / std::sqrt(8.0)).epsilon(slack));
}

TEST_CASE("initial weights: seeds and parameters have streams of their own") {
  const Slice all{{{0, 384}}, {0, 128}};
  const std::string first = "transformer.h.0.attn.c_attn.weight",
                    second = "transformer.h.1.attn.c_attn.weight";
  const auto a = initial_weights(config(), {.seed = 1}), b = initial_weights(config(), {.seed = 2});
  CHECK(read(*a, first, all) == read(*a, first, all));
  CHECK(read(*a, first, all) != read(*b, first, all));
  CHECK(read(*a, first, all) != read(*a, second, all));
}

TEST_CASE("initial weights: biases are zero unless the verifier asks for drawn ones") {
  GptConfig with_bias = config();
  with_bias.bias = true;
  const Slice all{{{0, 128}}, {0, 1}};
  const std::string bias = "transformer.h.0.mlp.c_proj.bias";
  for (float v : read(*initial_weights(with_bias), bias, all)) REQUIRE(v == 0.0f);
  for (float v : read(*initial_weights(with_bias, {.draw_biases = true}), bias, all))
    REQUIRE(v != 0.0f);
}

TEST_CASE("initial weights: an unknown parameter is refused") {
  float value = 0;
  CHECK_THROWS_AS(
      initial_weights(config())->read("nonesuch", {{{0, 1}}, {0, 1}}, {DType::f32, &value, 1}),
      Error);
}
