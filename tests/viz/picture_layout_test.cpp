// Pictures of small and large models, as a person would look at them: no text lies on another.
#include <catch2/catch.hpp>

#include "model/init.h"
#include "sim/error.h"
#include "small_model.h"
#include "svg_check.h"
#include "viz/drawing/graphviz.h"
#include "viz/pictures/block_picture.h"
#include "viz/pictures/collective_picture.h"
#include "viz/pictures/compare_picture.h"
#include "viz/pictures/mesh_picture.h"
#include "viz/pictures/model_picture.h"
#include "viz/pictures/shards_picture.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

StepOptions step(int tp, int dp) {
  StepOptions options;
  options.parallelism = {.tp = tp, .dp = dp};
  options.batch = 2 * dp, options.seq = 8;
  complete(options, kSmallModel);
  return options;
}

Graph collective(Algorithm algorithm, int n) {
  return collective_graph(record_collective(find_algorithm(Op::all_reduce, algorithm), n));
}

TEST_CASE("pictures: SVG is XML without script, ids are unique, and no text lies on another") {
  if (!has_graphviz()) return;
  const auto source = initial_weights(kSmallModel, {.seed = 1});
  std::vector<Graph> graphs;
  for (const auto& [preset, tp] : {std::pair{"gpt2-xl", 5},
                                   {"gpt2-xl", 8},
                                   {"gpt2-xl", 25},
                                   {"nano-cpu", 4},
                                   {"nano-cpu", 1}}) {
    const ShardPlan plan(find_preset(preset).config, tp, true);
    graphs.push_back(shards_graph(shards_picture(plan, DType::f32, preset)));
  }
  for (const Algorithm algorithm :
       {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather})
    for (const int n : {2, 5, 16}) graphs.push_back(collective(algorithm, n));
  for (const auto& [tp, dp] : {std::pair{1, 1}, {4, 3}, {1, 16}, {2, 2}}) {
    const StepOptions options = step(tp, dp);
    graphs.push_back(mesh_graph(mesh_picture(count_step(*source, options), options, "m")));
  }
  for (const int tp : {1, 2, 3})
    graphs.push_back(comparison_graph(
        compare_schemes(*source, {.parallelism = {.tp = tp}, .batch = 2, .seq = 8}, "m")));
  for (const int tp : {1, 2, 4}) {
    const StepOptions options = step(tp, 1);
    const ShardPlan plan(kSmallModel, tp);
    const StepOnMeta run = step_on_meta(*source, options);
    const BlockOptions block{.model = "m\nstep", .forward = true, .backward = true};
    graphs.push_back(block_graph(block_steps(plan, run, block), block));
    const ModelOptions model{.model = "m\nstep"};
    graphs.push_back(model_graph(module_tree(plan, run, model), model));
  }
  for (const Graph& graph : graphs) {
    INFO(graph.title << ", " << graph.nodes.size() << " nodes");
    const std::string svg = drawn(graph, "svg");
    const SvgCheck check(svg);
    CHECK(check.problem() == "");
    CHECK(check.overlap() == "");
    CHECK(check.texts().size() > 3);
  }
}

TEST_CASE("SvgCheck: broken XML, scripts, ids twice and texts over each other are seen") {
  const auto problem = [](const std::string& body) {
    const std::string svg = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg>" + body + "</svg>";
    return SvgCheck(svg).problem();
  };
  CHECK(problem("<g id=\"a\"><a x=\"&lt;&#38;\"/></g>") == "");
  CHECK(problem("<g>") != "");
  CHECK(problem("<g></h>") != "");
  CHECK(problem("<script></script>") == "a <script>");
  CHECK(problem("<g onclick=\"x\"/>") == "the attribute onclick");
  CHECK(problem("<g id=\"a\"/><g id=\"a\"/>") == "two elements of id a");
  CHECK(problem("a &nbsp; b") == "the entity &nbsp;");
  CHECK(problem("<!DOCTYPE html>") != "");
  CHECK(problem("<g a=1/>") != "");
  const std::string texts =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg>"
      "<text text-anchor=\"middle\" x=\"20\" y=\"10\" font-size=\"10.00\">ab</text>"
      "<text text-anchor=\"start\" x=\"22\" y=\"12\" font-size=\"10.00\">cd</text>"
      "<text text-anchor=\"start\" x=\"22\" y=\"20\" font-size=\"10.00\">ef</text></svg>";
  CHECK(SvgCheck(texts).overlap() == "ab and cd");
}

}  // namespace
