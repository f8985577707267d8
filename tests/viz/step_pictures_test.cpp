// Pictures of a recorded step: the block and the model, against what the papers say of them.
#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"
#include "viz/block_picture.h"
#include "viz/model_picture.h"

using namespace tplab;
using Catch::Contains;

namespace {

using Strings = std::vector<std::string>;

const GptConfig kConfig{.n_layer = 3,
                        .n_head = 4,
                        .n_embd = 16,
                        .block_size = 8,
                        .vocab_size = 50,
                        .n_inner = 64,
                        .bias = true};

struct Recorded {
  ShardPlan plan;
  StepOnMeta run;
};

Recorded recorded(int tp, const StepOptions& step) {
  const auto source = initial_weights(kConfig, {.seed = 1});
  ShardPlan plan(kConfig, tp);
  return {plan, step_on_meta(*source, plan, step)};
}
const StepOptions kPlain{.batch = 1, .seq = 8};
const StepOptions kSp{.batch = 1, .seq = 8, .trainer = {.sp = true}};

// "linear -> varying"; collectives in capitals' stead with a star.
Strings lines(const std::vector<BlockStep>& steps) {
  Strings out;
  for (const BlockStep& step : steps) {
    std::string line = (step.collective ? "* " : "") + step.operation;
    if (!step.placement.empty()) line += " -> " + step.placement;
    out.push_back(line);
  }
  return out;
}

std::string why_not(const ShardPlan& plan, const StepOnMeta& run) {
  try {
    check_same_plan(plan, run);
    return "";
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::run);
    return error.problem();
  }
}

TEST_CASE("block: a forward pass is Shoeybi's figure: two partial sums, each all-reduced") {
  const auto [plan, run] = recorded(4, kPlain);
  const auto ranks = block_steps(plan, run, {.model = "m", .layer = 1});
  REQUIRE(ranks.size() == 4);
  for (const auto& steps : ranks)
    CHECK(lines(steps) ==
          Strings{"from block 0 -> invariant", "layer_norm -> invariant", "linear -> varying",
                  "causal_attention -> varying", "linear -> partial", "* all_reduce -> invariant",
                  "add -> invariant",  // the bias, once, after the sum
                  "add -> invariant", "layer_norm -> invariant", "linear -> varying",
                  "gelu -> varying", "linear -> partial", "* all_reduce -> invariant",
                  "add -> invariant", "add -> invariant"});
}

TEST_CASE("block: under SP each all-reduce is cut in two, around a stream split over T") {
  for (const int64_t batch :
       {1, 2}) {  // of several sequences, numbers are put in another order too
    StepOptions options = kSp;
    options.batch = batch;
    const auto [plan, run] = recorded(2, options);
    const auto ranks = block_steps(plan, run, {.model = "m", .layer = 0});
    Strings collectives;
    for (const BlockStep& step : ranks[1])
      if (step.collective)
        collectives.push_back(step.operation + " " + step.before + " -> " + step.placement);
    CHECK(collectives == Strings{"all_gather varying over T -> replicated",
                                 "reduce_scatter partial -> varying over T",
                                 "all_gather varying over T -> replicated",
                                 "reduce_scatter partial -> varying over T"});
    const std::string B = std::to_string(batch);
    CHECK(ranks[1].front().placement == "varying over T");
    CHECK(ranks[1].front().shape == "[" + B + ", 4, 16]");
    Strings partial;
    for (const BlockStep& step : ranks[0])
      if (step.placement == "partial") partial.push_back(step.operation + " " + step.shape);
    CHECK(partial == Strings(2, "linear [" + B + ", 8, 16]"));
  }
}

TEST_CASE("block: the last block's gradient comes from the final norm") {
  const auto [plan, run] = recorded(2, kPlain);
  const auto ranks =
      block_steps(plan, run, {.model = "m", .layer = 2, .forward = false, .backward = true});
  CHECK(ranks[0].front().operation == "from ln_f");
}

TEST_CASE("block: ranks stand from left to right, under a title of its lines") {
  const BlockOptions options{.model = "m\nstep"};
  const auto [plan, run] = recorded(4, kPlain);
  const std::string dot = dot_text(block_graph(block_steps(plan, run, options), options));
  CHECK_THAT(dot, Contains("\"rank0-forward-0\" -> \"rank1-forward-0\"") &&
                      Contains("\"rank2-forward-0\" -> \"rank3-forward-0\"") &&
                      Contains("label=\"m\\lstep\\lblock 0 on 4 ranks: forward\\l\"") &&
                      Contains("digraph \"m, step, block 0"));
}

TEST_CASE("model: weights add up, a tied head's being the embedding's") {
  const auto [plan, run] = recorded(2, kPlain);
  const Module root = module_tree(plan, run, {.model = "m", .unfold = true});
  int64_t sum = 0;
  for (const Module& part : root.parts) sum += part.weight_bytes;
  CHECK(sum == root.weight_bytes);
  CHECK(root.weight_bytes == 4 * plan.local_count(0));
}

TEST_CASE("block: weights say which part of what a rank has, fused QKV by head") {
  const auto [plan, run] = recorded(4, kPlain);
  const auto ranks = block_steps(plan, run, {.model = "m", .layer = 2});
  // Head 3 of 4, each 4 wide: rows 12:16 of each of q, k and v, 16 rows long.
  const std::vector<BlockWeight>& qkv = ranks[3][2].weights;
  REQUIRE(qkv.size() == 2);
  CHECK(qkv[0].name == "attn.c_attn.weight");
  CHECK(qkv[0].slice == "[12:16|28:32|44:48, :]");
  CHECK(qkv[0].local == "[12, 16]");
  CHECK(qkv[0].global == "[48, 16]");
  CHECK(qkv[1].slice == "[12:16|28:32|44:48]");
  const std::vector<BlockWeight>& proj = ranks[3][4].weights;
  REQUIRE(proj.size() == 1);
  CHECK(proj[0].slice == "[:, 12:16]");
  CHECK(ranks[3][1].weights[0].slice == "whole");
}

TEST_CASE("block: arrows say where a value is read as placed otherwise, and only there") {
  const auto [plan, run] = recorded(2, kPlain);
  const auto ranks =
      block_steps(plan, run, {.model = "m", .layer = 0, .forward = true, .backward = true});
  Strings read_as;
  for (const BlockStep& step : ranks[0])
    for (const auto& from : step.from)
      if (!from.placement.empty()) read_as.push_back(step.operation + " as " + from.placement);
  // enter() before each column-parallel product; leave_backward() before each row-parallel one's
  // gradients.
  CHECK(read_as ==
        Strings{"linear as replicated", "linear as replicated",
                "linear_backward_weight as replicated", "linear_backward_input as replicated",
                "linear_backward_weight as replicated", "linear_backward_input as replicated"});
}

TEST_CASE("block: the graph has a frame a rank, and collectives outside them") {
  const Recorded step = recorded(2, kPlain);
  const BlockOptions options{.model = "m", .layer = 0, .forward = true, .backward = true};
  const Graph graph = block_graph(block_steps(step.plan, step.run, options), options);
  REQUIRE(graph.clusters.size() == 2);
  size_t inside = graph.clusters[0].nodes.size() + graph.clusters[1].nodes.size();
  CHECK(graph.nodes.size() == inside + 4);
  CHECK_THAT(dot_text(graph), Contains("collective3") && !Contains("collective4"));
  const auto refused = [&](int64_t layer) {
    CHECK_THROWS_WITH(block_steps(step.plan, step.run, {.model = "m", .layer = layer}),
                      Contains("0 to 2"));
  };
  refused(3);
  refused(-1);
}

TEST_CASE("block: text is ASCII where that is asked for, and never wider than 80 columns") {
  const auto [plan, run] = recorded(4, kSp);
  const BlockOptions options{
      .model = "a/path/\x1b[31mé/" + std::string(60, 'x') + " and a step of it",
      .layer = 0,
      .forward = true,
      .backward = true};
  const std::string text =
      block_text(block_steps(plan, run, options), options, {.colour = false, .unicode = false});
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    CHECK(end - begin <= 80);
  for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
}

TEST_CASE("model: sync points and bytes are the ledger's, module by module and in all") {
  for (const StepOptions& step : {kPlain, kSp}) {
    const auto [plan, run] = recorded(4, step);
    for (const int64_t depth : {1, 2, 3}) {
      const Module root = module_tree(plan, run, {.model = "m", .depth = depth, .unfold = true});
      std::array<int64_t, 3> calls{}, sent{};
      for (const Event& event : run.records[0].ledger.events()) {
        ++calls[static_cast<size_t>(event.phase)];
        sent[static_cast<size_t>(event.phase)] += event.wire_bytes;
      }
      for (size_t phase = 0; phase < 3; ++phase) {
        CHECK(root.traffic[phase].sync_points() == calls[phase]);
        CHECK(root.traffic[phase].wire_bytes == sent[phase]);
        int64_t parts = 0;
        for (const Module& part : root.parts) parts += part.traffic[phase].sync_points();
        CHECK(parts == calls[phase]);
      }
    }
  }
}

TEST_CASE("model: blocks that are alike are one, with their number, and unfolded one by one") {
  const auto [plan, run] = recorded(2, kPlain);
  const Module folded = module_tree(plan, run, {.model = "m"});
  Strings names;
  for (const Module& part : folded.parts) names.push_back(part.name);
  CHECK(Strings(names.begin(), names.begin() + 4) ==
        Strings{"embed", "blocks 0-2", "ln_f", "head"});
  const Module& block = folded.parts[1];
  CHECK(block.count == 3);
  CHECK(block.traffic[0].calls == std::map<Op, int64_t>{{Op::all_reduce, 2}});
  CHECK(block.traffic[1].calls == std::map<Op, int64_t>{{Op::all_reduce, 2}});
  REQUIRE(block.parts.size() == 2);
  // c_attn [24, 16] and its bias, c_proj [16, 8] and its bias.
  CHECK(block.parts[0].weight_bytes == 4 * (24 * 16 + 24 + 16 * 8 + 16));
  CHECK(module_tree(plan, run, {.model = "m", .unfold = true}).parts[2].name == "block 1");
  const Module flat = module_tree(plan, run, {.model = "m", .depth = 1});
  CHECK(flat.parts[1].parts.empty());
}

TEST_CASE("model: a block that communicates otherwise is not folded with its neighbours") {
  auto [plan, run] = recorded(2, kPlain);
  std::vector<FlowStep>& steps = run.flows[0].steps;
  steps.erase(std::find_if(steps.begin(), steps.end(), [](const FlowStep& step) {
    return step.site == "block 1/mlp" && step.collective;
  }));
  const Module root = module_tree(plan, run, {.model = "m"});
  Strings names;
  for (const Module& part : root.parts) names.push_back(part.name);
  CHECK(Strings(names.begin() + 1, names.begin() + 4) == Strings{"block 0", "block 1", "block 2"});
}

TEST_CASE("model: what a module sends beside its parts is drawn too") {
  const auto [plan, run] = recorded(2, kPlain);
  const Module root = module_tree(plan, run, {.model = "m"});
  const Module& head = root.parts[3];
  REQUIRE(head.parts.size() == 2);
  CHECK(head.parts[0].name == "head itself");  // the all-reduce of its input's gradient
  CHECK(head.parts[0].traffic[0].sync_points() == 0);
  CHECK(head.parts[0].traffic[1].calls == std::map<Op, int64_t>{{Op::all_reduce, 1}});
  CHECK(head.parts[1].traffic[0].calls == std::map<Op, int64_t>{{Op::all_reduce, 3}});
}

TEST_CASE("model: more boxes than one can read are refused with their number") {
  Module root{.name = "in all"};
  for (int i = 0; i < 150; ++i) root.parts.push_back({.name = "m", .site = std::to_string(i)});
  CHECK_THROWS_WITH(model_graph(root, {.model = "m", .depth = 2}),
                    Contains("151 boxes") && Contains("--depth 1"));
}

TEST_CASE("a picture drawn from another plan than the run's is refused") {
  const auto [plan, run] = recorded(2, kPlain);
  CHECK(why_not(plan, run).empty());
  CHECK_THAT(why_not(ShardPlan(kConfig, 4), run), Contains("tp 4, and 2 ranks ran"));
  ShardPlan other = plan;
  for (ShardRow& row : other.rows())
    if (row.name == "transformer.h.1.mlp.c_fc.weight") row.split = Split::whole;
  CHECK_THAT(why_not(other, run),
             Contains("h.1.mlp.c_fc.weight was [32, 16], and is planned to be [64, 16]"));
  CHECK_THROWS_WITH(block_steps(other, run, {.model = "m"}), Contains("is not the run's"));
  CHECK_THROWS_WITH(module_tree(other, run, {.model = "m"}), Contains("is not the run's"));
  GptConfig deeper = kConfig;
  deeper.n_layer = 4;
  CHECK_FALSE(why_not(ShardPlan(deeper, 2), run).empty());
}

}  // namespace
