// A small picture of each kind, as SVG and as text, held to the files in golden/.
//
// To make them anew, after looking at what changed: build/tests/test_viz "[make goldens]"
#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "model/init.h"
#include "sim/error.h"
#include "svg_check.h"
#include "viz/collective_picture.h"
#include "viz/compare_picture.h"
#include "viz/graphviz.h"
#include "viz/mesh_picture.h"
#include "viz/shards_picture.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

constexpr const char* kGraphviz = "dot - graphviz version 2.43.0";  // that made the SVGs

const GptConfig kConfig{.n_layer = 2,
                        .n_head = 4,
                        .n_embd = 16,
                        .block_size = 8,
                        .vocab_size = 70,
                        .n_inner = 64,
                        .bias = true};

struct Picture {
  std::string name;
  Graph graph;
  std::string text, coloured, ascii;
};

template <class Draw>
Picture picture(std::string name, Graph graph, Draw text) {
  return {std::move(name), std::move(graph), text(TextStyle{}), text(TextStyle{.colour = true}),
          text(TextStyle{.unicode = false})};
}

StepOptions step(int tp, int dp) {
  StepOptions options;
  options.tp = tp, options.dp = dp, options.batch = 2 * dp, options.seq = 8;
  complete(options, kConfig);
  return options;
}

Picture collective(Op op, Algorithm algorithm, int n) {
  const CollectiveRecord record = record_collective(find_algorithm(op, algorithm), n);
  return picture("collective_" + std::string(name(op)) + "_" + std::string(name(algorithm)),
                 collective_graph(record),
                 [&](const TextStyle& style) { return collective_text(record, style); });
}

std::vector<Picture> pictures() {
  const auto source = initial_weights(kConfig, {.seed = 1});
  std::vector<Picture> all;
  const ShardsPicture shards = shards_picture(ShardPlan(kConfig, 2), DType::f32, "a <small> model");
  all.push_back(picture("shards", shards_graph(shards),
                        [&](const TextStyle& style) { return shards_text(shards, style); }));
  const StepOptions mesh_step = step(2, 2);
  const MeshPicture mesh =
      mesh_picture(count_step(*source, mesh_step), mesh_step, "a <small> model");
  all.push_back(picture("mesh", mesh_graph(mesh),
                        [&](const TextStyle& style) { return mesh_text(mesh, style); }));
  const Comparison comparison = compare_schemes(*source, step(2, 1), "a <small> model");
  all.push_back(picture("compare", comparison_graph(comparison), [&](const TextStyle& style) {
    return comparison_text(comparison, style);
  }));
  all.push_back(collective(Op::all_reduce, Algorithm::ring, 3));
  all.push_back(collective(Op::all_reduce, Algorithm::tree, 5));
  all.push_back(collective(Op::reduce_scatter, Algorithm::direct, 3));
  all.push_back(collective(Op::all_to_all, Algorithm::ring, 3));
  return all;
}

std::string golden_path(const std::string& name) {
  return TPLAB_SOURCE_DIR "/tests/viz/golden/" + name;
}

std::string golden(const std::string& name) {
  std::ifstream file(golden_path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& name, const std::string& text) {
  std::filesystem::create_directories(golden_path(""));
  std::ofstream(golden_path(name), std::ios::binary) << text;
}

std::string graphviz_version() {
  std::string said;
  if (FILE* pipe = popen("dot -V 2>&1", "r")) {
    char part[256];
    while (std::fgets(part, sizeof part, pipe)) said += part;
    pclose(pipe);
  }
  return said;
}

// Whether Graphviz is here; if not, says that the test is skipped.
bool has_graphviz() {
  try {
    (void)drawn({.title = "t"}, "svg");
    return true;
  } catch (const Error& error) {
    WARN("skipped: " << error.what());
    return false;
  }
}

TEST_CASE("golden pictures: text is what it was, to the byte") {
  for (const Picture& p : pictures()) {
    INFO(p.name);
    CHECK(p.text == golden(p.name + ".txt"));
    CHECK(p.ascii == golden(p.name + ".ascii.txt"));
    CHECK(p.coloured == golden(p.name + ".colour.txt"));
    for (size_t at = 0; at < p.ascii.size();) {
      const size_t end = p.ascii.find('\n', at);
      CHECK(end - at <= 80);
      at = end + 1;
    }
  }
}

TEST_CASE("golden pictures: SVG is what it was, to the byte, by the same Graphviz") {
  if (!has_graphviz()) return;
  if (!graphviz_version().starts_with(kGraphviz)) {
    WARN("skipped: the SVGs were made by " << kGraphviz << ", and here is " << graphviz_version());
    return;
  }
  for (const Picture& p : pictures()) {
    INFO(p.name);
    CHECK(drawn(p.graph, "svg") == golden(p.name + ".svg"));
  }
}

TEST_CASE("golden pictures: SVG is XML without script, ids are unique, no text lies on another") {
  if (!has_graphviz()) return;
  for (const Picture& p : pictures()) {
    INFO(p.name);
    const std::string svg = drawn(p.graph, "svg");
    CHECK(svg == drawn(p.graph, "svg"));
    const SvgCheck check(svg);
    CHECK(check.problem() == "");
    CHECK(check.overlap() == "");
    CHECK(check.texts().size() > 10);
  }
}

TEST_CASE("golden pictures: so is SVG of large models, many ranks and one rank") {
  if (!has_graphviz()) return;
  std::vector<Graph> graphs;
  for (const auto& [preset, tp] : {std::pair{"gpt2-xl", 5}, {"gpt2-xl", 25}, {"nano-cpu", 1}})
    graphs.push_back(shards_graph(
        shards_picture(ShardPlan(find_preset(preset).config, tp), DType::f32, preset)));
  for (const Algorithm algorithm : {Algorithm::direct, Algorithm::ring, Algorithm::gather})
    for (const int n : {2, 16})
      graphs.push_back(
          collective_graph(record_collective(find_algorithm(Op::all_reduce, algorithm), n)));
  for (const auto& [tp, dp] : {std::pair{1, 1}, {4, 3}, {1, 16}}) {
    const StepOptions options = step(tp, dp);
    graphs.push_back(mesh_graph(
        mesh_picture(count_step(*initial_weights(kConfig, {.seed = 1}), options), options, "m")));
  }
  graphs.push_back(
      comparison_graph(compare_schemes(*initial_weights(kConfig, {.seed = 1}), step(1, 1), "m")));
  for (const Graph& graph : graphs) {
    INFO(graph.title << ", " << graph.nodes.size() << " nodes");
    const SvgCheck check(drawn(graph, "svg"));
    CHECK(check.problem() == "");
    CHECK(check.overlap() == "");
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

TEST_CASE("golden pictures are written", "[.][make goldens]") {
  for (const Picture& p : pictures()) {
    write(p.name + ".txt", p.text);
    write(p.name + ".ascii.txt", p.ascii);
    write(p.name + ".colour.txt", p.coloured);
    write(p.name + ".svg", drawn(p.graph, "svg"));
  }
}

}  // namespace
