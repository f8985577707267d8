// The plan: every number of every parameter is on exactly the ranks that should hold it.
#include "model/shard_plan.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "sim/error.h"

using namespace tplab;

namespace {

const GptConfig kConfig{
    .n_layer = 2, .n_head = 6, .n_embd = 24, .block_size = 16, .vocab_size = 65, .n_inner = 96};

const NamedTensor& tensor_named(const ShardPlan& plan, const std::string& name) {
  for (const NamedTensor& tensor : plan.tensors())
    if (tensor.name == name) return tensor;
  FAIL("no tensor " << name);
  return plan.tensors()[0];
}

int64_t cols(const ParameterRow& row) { return cols_of(row.shape); }

// Of 6 heads and 96 features of the MLP, which neither 4 nor 5 ranks share evenly.
ShardPlan uneven(int tp, const GptConfig& config = kConfig) { return {config, tp, true}; }

Slice saved(const ShardPlan& plan, const std::string& name, int rank) {
  return plan.slice(tensor_named(plan, name), rank);
}

// How many ranks copy each number of a parameter.
std::vector<int> owners(const ShardPlan& plan, const ParameterRow& row) {
  std::vector<int> count(static_cast<size_t>(row.shape[0] * cols(row)));
  for (int rank = 0; rank < plan.tp(); ++rank) {
    const Slice slice = plan.slice(row, rank);
    for (const Range& r : slice.rows)
      for (int64_t i = r.begin; i < r.end; ++i)
        for (int64_t j = slice.cols.begin; j < slice.cols.end; ++j)
          ++count[static_cast<size_t>(i * cols(row) + j)];
  }
  return count;
}

}  // namespace

TEST_CASE("shard plan: a split parameter has each number on one rank, a whole one on all") {
  for (int tp = 1; tp <= 6; ++tp) {
    const ShardPlan plan = uneven(tp);
    for (const ParameterRow& row : plan.rows()) {
      INFO(row.tensor << " at tp " << tp);
      const int expected = row.split == Split::whole ? tp : 1;
      for (int count : owners(plan, row)) REQUIRE(count == expected);
    }
  }
}

TEST_CASE("shard plan: slices fill the local shape, but for the padding of the vocabulary") {
  for (int tp : {3, 4, 5}) {
    const ShardPlan plan = uneven(tp);
    for (const ParameterRow& row : plan.rows()) {
      for (int rank = 0; rank < tp; ++rank) {
        const Shape shape = plan.local_shape(row, rank);
        const int64_t local =
            std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
        INFO(row.tensor << " at tp " << tp);
        if (row.split == Split::vocab)
          CHECK(plan.slice(row, rank).count() <= local);
        else
          CHECK(plan.slice(row, rank).count() == local);
      }
    }
  }
}

TEST_CASE("shard plan: fused QKV is split by head, not contiguously") {
  const ShardPlan plan(kConfig, 2);
  const Slice slice = saved(plan, "transformer.h.0.attn.c_attn.weight", 1);
  CHECK(slice.rows == std::vector<Range>{{12, 24}, {36, 48}, {60, 72}});
}

TEST_CASE("shard plan: uneven, the first ranks have one more, and no head is cut") {
  const ShardPlan plan = uneven(4);  // heads 2, 2, 1, 1 of 4 features
  CHECK(plan.part(6, 1, 0) == Range{0, 2});
  CHECK(plan.part(6, 1, 1) == Range{2, 4});
  CHECK(plan.part(6, 1, 2) == Range{4, 5});
  CHECK(plan.part(6, 1, 3) == Range{5, 6});
  CHECK(saved(plan, "transformer.h.0.attn.c_attn.bias", 2).rows ==
        std::vector<Range>{{16, 20}, {40, 44}, {64, 68}});
  CHECK(saved(plan, "transformer.h.0.attn.c_proj.weight", 2).cols == Range{16, 20});
  CHECK(plan.local_shape(tensor_named(plan, "transformer.h.1.attn.c_attn.weight"), 3) ==
        Shape{12, 24});
  CHECK(uneven(5).part(96, 1, 0) == Range{0, 20});
  CHECK(saved(uneven(5), "transformer.h.0.mlp.c_proj.weight", 4).cols == Range{77, 96});
  CHECK_FALSE(plan.even());
  CHECK(uneven(3).even());
  int64_t sum = 0;
  for (int rank = 0; rank < 4; ++rank) {
    CHECK(plan.local_count(rank) <= plan.local_count(0));
    sum += plan.local_count(rank);
  }
  CHECK(plan.total_count() == sum);
}

TEST_CASE("shard plan: uneven, each rank needs a head") {
  CHECK(tps_that_work(kConfig, true) == "1, 2, 3, 4, 5 or 6");
  try {
    (void)uneven(7);
    FAIL("tp 7 was accepted for 6 heads");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::usage);
    CHECK(e.problem() == "n_head 6 is less than tp 7");
    CHECK(e.fix() == "use --tp 1, 2, 3, 4, 5 or 6");
  }
  GptConfig narrow = kConfig;
  narrow.n_inner = 3;
  CHECK_THROWS_WITH(uneven(4, narrow), Catch::Contains("the MLP's width 3 is less than tp 4"));
  // What --uneven does not help is not offered it.
  try {
    ShardPlan(kConfig, 7);
    FAIL("tp 7 was accepted for 6 heads");
  } catch (const Error& e) {
    CHECK(e.fix() == "use --tp 1, 2, 3 or 6");
  }
}

TEST_CASE("shard plan: the second product of a pair splits its input features") {
  const ShardPlan plan(kConfig, 3);
  CHECK(saved(plan, "transformer.h.1.mlp.c_proj.weight", 2).cols == Range{64, 96});
  CHECK(saved(plan, "transformer.h.1.mlp.c_fc.weight", 2).rows[0] == Range{64, 96});
  CHECK(plan.row(bias_of(Role::down, {1, 1})).split == Split::whole);
}

TEST_CASE("shard plan: a vocabulary that does not divide is padded, losing no row") {
  GptConfig gpt2 = kConfig;
  gpt2.n_head = 8;
  gpt2.vocab_size = 50257;
  // Multiples of 64 tp; vLLM and Megatron pad to multiples of 64 and 128 in the same way.
  CHECK(ShardPlan(gpt2, 1).padded_vocab() == 50304);
  CHECK(ShardPlan(gpt2, 2).padded_vocab() == 50304);
  CHECK(ShardPlan(gpt2, 4).padded_vocab() == 50432);
  CHECK(ShardPlan(gpt2, 8).padded_vocab() == 50688);
}

TEST_CASE("shard plan: more ranks than a small vocabulary fills leave some with padding only") {
  GptConfig tiny = kConfig;
  tiny.vocab_size = 3;
  const ShardPlan plan(tiny, 2);
  const ParameterRow& wte = plan.row(weight_of(Role::token_embedding));
  CHECK(plan.slice(wte, 0).count() == 3 * 24);
  CHECK(plan.slice(wte, 1).count() == 0);
}

TEST_CASE("shard plan: a tp that does not divide is refused with those that do") {
  try {
    ShardPlan(kConfig, 4);
    FAIL("tp 4 was accepted for 6 heads");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::usage);
    CHECK(e.problem() == "n_head 6 does not divide by tp 4");
    CHECK(e.fix() == "use --tp 1, 2, 3 or 6, or --uneven: some ranks then have more");
  }
  CHECK_THROWS_AS(ShardPlan(kConfig, 0), Error);
  CHECK_THROWS_AS(ShardPlan(kConfig, -1), Error);
  CHECK_THROWS_AS(ShardPlan(kConfig, 65), Error);
}

TEST_CASE("shard plan: gpt2's parameters are nanoGPT's, and tp halves what is split") {
  const GptConfig& gpt2 = find_preset("gpt2").config;
  int64_t stored = 0;
  const ShardPlan alone(gpt2, 1);
  for (const ParameterRow& row : alone.rows())
    stored += std::accumulate(row.shape.begin(), row.shape.end(), int64_t{1}, std::multiplies<>());
  CHECK(stored == 124'439'808);  // GPT-2 small with its positions
  const int64_t padding = (50304 - 50257) * 768;
  CHECK(alone.local_count(0) == stored + padding);
  // At tp 2: positions, norms and row-parallel biases stay whole.
  const int64_t whole = 1024 * 768 + 12 * (4 + 2) * 768 + 2 * 768;
  CHECK(ShardPlan(gpt2, 2).local_count(0) == (stored + padding - whole) / 2 + whole);
}
