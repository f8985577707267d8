// The rows of parameters(): every number of the network in one row, each row with a name of its
// own.
#include "model/parameters.h"

#include <catch2/catch.hpp>
#include <set>

#include "model/flat_layout.h"
#include "model/name_table.h"
#include "sim/error.h"
#include "small_gpt.h"

using namespace tplab;
using namespace tplab::testing;

TEST_CASE("parameters: each has an id and a place of its own, and tensors are filled") {
  GptConfig untied = kSmall;
  untied.tied_head = false;
  for (const GptConfig& config : {kSmall, untied}) {
    const std::vector<ParameterRow> rows = parameters(config);
    std::set<ParameterId> ids;
    std::set<std::pair<std::string, int64_t>> places;
    for (const ParameterRow& row : rows) {
      INFO(row.tensor << ", row " << row.first_row);
      CHECK(ids.insert(row.id).second);
      CHECK(places.emplace(row.tensor, row.first_row).second);
      CHECK(row.decays == (row.shape.dims() == 2));  // nanoGPT's rule
      CHECK(row.joined == (row.first_row > 0));
    }
    int64_t in_tensors = 0;
    for (const NamedTensor& tensor : named_tensors(rows)) {
      in_tensors += tensor.shape.count();
      CHECK(rows[tensor.first_row].id == tensor.id);
    }
    CHECK(in_tensors == parameter_count(config));
    CHECK(ids.contains(weight_of(Role::head)) == !config.tied_head);
  }
}

TEST_CASE("parameters: q, k and v are three, one below the other in c_attn") {
  const std::vector<ParameterRow> rows = parameters(kSmall);
  const auto row_of = [&](const ParameterId& id) {
    for (const ParameterRow& row : rows)
      if (row.id == id) return row;
    FAIL("no such row");
    return rows[0];
  };
  int64_t first = 0;
  for (const Role role : {Role::q, Role::k, Role::v}) {
    const ParameterRow weight = row_of(weight_of(role, {1, 0})),
                       bias = row_of(bias_of(role, {1, 0}));
    CHECK(weight.tensor == "transformer.h.1.attn.c_attn.weight");
    CHECK(bias.tensor == "transformer.h.1.attn.c_attn.bias");
    CHECK((weight.first_row == first && bias.first_row == first));
    CHECK(weight.shape == Shape{32, 32});
    CHECK((weight.split == Split::rows && weight.unit == 8));
    CHECK((bias.split == Split::rows && bias.unit == 8));
    first += 32;
  }
  CHECK(row_of(bias_of(Role::attention_out, {1, 0})).gradient == GradientSum::under_sp);
  CHECK(row_of(bias_of(Role::up, {1, 1})).gradient == GradientSum::none);
  CHECK(row_of(weight_of(Role::position_embedding)).gradient == GradientSum::none);
}

// One product reads all three: a gap between them would be read as weights.
TEST_CASE("parameters: joined ones lie in a rank's list without a gap, whatever their size") {
  const GptConfig odd{
      .n_layer = 2, .n_head = 3, .n_embd = 9, .block_size = 4, .vocab_size = 5, .n_inner = 7};
  for (const int tp : {1, 2, 3}) {
    const ShardPlan plan(odd, tp, true);
    for (int rank = 0; rank < tp; ++rank) {
      const FlatLayout layout(plan, rank, 2);
      int64_t end = 0;
      for (const FlatEntry& entry : layout.entries()) {
        CHECK(entry.joined == plan.rows()[entry.row].joined);
        CHECK(entry.first % (entry.joined ? 1 : 16) == 0);
        CHECK((entry.joined ? entry.first == end : entry.first >= end && entry.first < end + 16));
        end = entry.first + entry.count;
      }
    }
  }
}

TEST_CASE("names: both tables name every parameter, and differ in what is transposed alone") {
  REQUIRE(nanogpt_names().size() == gpt2_names().size());
  for (const ParameterRow& row : parameters(kSmall)) {
    const NameRow &nanogpt = name_row(nanogpt_names(), row.id),
                  &gpt2 = name_row(gpt2_names(), row.id);
    CHECK(tensor_name(nanogpt, row.id) == row.tensor);
    CHECK(tensor_name(gpt2, row.id) == row.tensor);
    CHECK_FALSE(nanogpt.transposed);
    CHECK(gpt2.transposed == (row.decays && row.id.at.in_block()));
  }
  CHECK_THROWS_AS(name_row(nanogpt_names(), weight_of(Role::q)), Error);  // outside the blocks
}
