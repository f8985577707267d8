// Pictures of a recorded step: the block and the model, against what the papers say of them.
#include <algorithm>
#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"
#include "small_model.h"
#include "viz/pictures/block_picture.h"
#include "viz/pictures/model_picture.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

using Strings = std::vector<std::string>;

const GptConfig kPictured{.n_layer = 3,
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

Recorded recorded(int tp, StepOptions step) {
  step.parallelism.tp = tp;
  const auto source = initial_weights(kPictured, {.seed = 1});
  ShardPlan plan(kPictured, tp);
  return {plan, step_on_meta(*source, step)};
}
const StepOptions kPlain{.batch = 1, .seq = 8};
const StepOptions kSp{.parallelism = {.sp = true}, .batch = 1, .seq = 8};

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
                  "activation -> varying", "linear -> partial", "* all_reduce -> invariant",
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

// The names of an SVG's clusters, from left to right.
Strings clusters_in(const std::string& svg) {
  std::vector<std::pair<double, std::string>> found;
  const std::string begin = "class=\"cluster\"", text = "<text ", x = " x=\"";
  for (size_t at = 0; (at = svg.find(begin, at)) != std::string::npos; at += begin.size()) {
    const size_t label = svg.find(text, at), name = svg.find('>', label) + 1;
    found.emplace_back(std::stod(svg.substr(svg.find(x, label) + x.size())),
                       svg.substr(name, svg.find('<', name) - name));
  }
  std::sort(found.begin(), found.end());
  Strings names;
  for (const auto& [place, name] : found) names.push_back(name);
  return names;
}

TEST_CASE("block: ranks stand from left to right, whatever is drawn") {
  if (!has_graphviz()) return;
  int put_right = 0;
  for (const int tp : {2, 3, 4}) {
    for (const bool sp : {false, true}) {
      for (const bool recompute : {false, true}) {
        const StepOptions step{
            .parallelism = {.tp = tp, .sp = sp, .recompute = recompute, .uneven = true},
            .batch = 1,
            .seq = 12};
        GptConfig config = kPictured;
        config.block_size = 12;
        const ShardPlan plan(config, tp, true);
        const StepOnMeta run = step_on_meta(*initial_weights(config, {.seed = 1}), step);
        for (const auto& [forward, backward] :
             {std::pair{true, false}, {false, true}, {true, true}}) {
          const BlockOptions options{.model = "m", .forward = forward, .backward = backward};
          Graph graph = block_graph(block_steps(plan, run, options), options);
          INFO("tp " << tp << ", SP " << sp << ", recompute " << recompute << ", " << graph.title);
          const Strings names = clusters_in(drawn(graph, "svg"));
          REQUIRE(std::ssize(names) == tp);
          CHECK(std::is_sorted(names.begin(), names.end()));
          graph.clusters_in_order = false;
          const Strings as_dot_likes = clusters_in(drawn(graph, "svg"));
          put_right += std::is_sorted(as_dot_likes.begin(), as_dot_likes.end()) ? 0 : 1;
        }
      }
    }
  }
  CHECK(put_right > 0);  // else the test has nothing to show
}

TEST_CASE("block: a picture has a title of its lines") {
  const BlockOptions options{.model = "m\nstep"};
  const auto [plan, run] = recorded(4, kPlain);
  CHECK_THAT(dot_text(block_graph(block_steps(plan, run, options), options)),
             Contains("label=\"m\\lstep\\lblock 0 on 4 ranks: forward\\l\"") &&
                 Contains("digraph \"m, step, block 0"));
}

TEST_CASE("block: what is recomputed is the forward pass again, and then the backward pass") {
  StepOptions options = kPlain;
  options.parallelism.recompute = true;
  const BlockOptions both{.model = "m", .layer = 1, .forward = true, .backward = true};
  const auto [plan, run] = recorded(2, options);
  const auto steps = block_steps(plan, run, both)[1];
  Strings forward, again, backward;
  for (const BlockStep& step : steps) {
    if (step.operation.starts_with("from ")) continue;
    (step.phase == Phase::forward ? forward
     : step.again                 ? again
                                  : backward)
        .push_back(step.operation);
  }
  CHECK(forward.size() == 14);
  CHECK(again == forward);
  CHECK(backward.front() == "sum_rows");  // of the MLP's last bias
  CHECK_THAT(block_text({steps}, both, {.colour = false}), Contains("\nforward again\n"));
  const auto [same_plan, kept] = recorded(2, kPlain);
  const auto kept_steps = block_steps(same_plan, kept, both)[0];
  for (const BlockStep& step : kept_steps) CHECK_FALSE(step.again);
}

TEST_CASE("block: of several micro-batches the first is drawn") {
  const BlockOptions both{.model = "m", .layer = 1, .forward = true, .backward = true};
  StepOptions two = kPlain;
  two.batch = 2;
  two.parallelism.accumulation = 2;
  const auto [plan, run] = recorded(2, two);
  const auto [one_plan, one] = recorded(2, kPlain);
  CHECK(lines(block_steps(plan, run, both)[0]) == lines(block_steps(one_plan, one, both)[0]));
}

TEST_CASE("block: what was saved is named, and whose it is if it is not the block's") {
  for (const int64_t batch : {1, 2}) {
    StepOptions options = kSp;
    options.batch = batch;
    const auto [plan, run] = recorded(2, options);
    const BlockOptions backward{.model = "m", .layer = 0, .forward = false, .backward = true};
    Strings saved;
    const auto steps = block_steps(plan, run, backward)[0];
    for (const BlockStep& step : steps)
      if (step.operation == "linear_backward_weight" || step.operation == "layer_norm_backward")
        saved.insert(saved.end(), step.saved.begin(), step.saved.end());
    CHECK(saved ==
          Strings{"gelu", "all_gather of ln_2", "mid", "heads", "all_gather of ln_1", "embed/out"});
    CHECK(block_steps(plan, run, {.model = "m"})[0].front().name == "out");
  }
}

TEST_CASE("block: one rank's sum is whole as it is") {
  const auto [plan, run] = recorded(1, kPlain);
  const auto steps = block_steps(plan, run, {.model = "m"})[0];
  for (const BlockStep& step : steps) CHECK(step.placement != "partial");
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
                    Contains("151 boxes") && !Contains("--depth 1"));  // which has as many
  root.parts.resize(50);
  for (Module& part : root.parts) part.parts.resize(2, {.name = "p"});
  CHECK_THROWS_WITH(model_graph(root, {.model = "m", .depth = 2}),
                    Contains("151 boxes") && Contains("--depth 1"));
}

TEST_CASE("a picture drawn from another plan than the run's is refused") {
  const auto [plan, run] = recorded(2, kPlain);
  CHECK(why_not(plan, run).empty());
  CHECK_THAT(why_not(ShardPlan(kPictured, 4), run), Contains("tp 4, and 2 ranks ran"));
  ShardPlan other = plan;
  for (ParameterRow& row : other.rows())
    if (row.tensor == "transformer.h.1.mlp.c_fc.weight") row.split = Split::whole;
  CHECK_THAT(why_not(other, run),
             Contains("h.1.mlp.c_fc.weight was [32, 16], and is planned to be [64, 16]"));
  CHECK_THROWS_WITH(block_steps(other, run, {.model = "m"}), Contains("is not the run's"));
  CHECK_THROWS_WITH(module_tree(other, run, {.model = "m"}), Contains("is not the run's"));
  GptConfig deeper = kPictured;
  deeper.n_layer = 4;
  CHECK_FALSE(why_not(ShardPlan(deeper, 2), run).empty());
}

}  // namespace
