// Graphs: what is written for Graphviz, and that no text becomes markup.
#include <catch2/catch.hpp>

#include "sim/error.h"
#include "small_model.h"
#include "viz/drawing/graphviz.h"

using namespace tplab;
using namespace tplab::testing;
using Catch::Contains;

namespace {

// Every character that means something to Graphviz, HTML or XML, and bytes that are not UTF-8.
const std::string kHostile = "</td><script>&amp;\"'\\N\\G\\\\\nü\x01\xff\xc3";

Graph hostile() {
  Graph graph{.title = kHostile};
  graph.add({.id = kHostile, .rows = {{{kHostile}, {kHostile}}, {{"b", "#ff0000", true}}}});
  graph.add({.id = "b", .rows = {{{kHostile}}}, .tooltip = kHostile});
  graph.edges.push_back({.from = kHostile, .to = "b", .label = kHostile, .tooltip = kHostile});
  graph.clusters.push_back({.id = "c", .label = kHostile, .nodes = {"b"}});
  return graph;
}

TEST_CASE("escaped_markup: markup, control characters and broken UTF-8 are gone, the rest stays") {
  CHECK(escaped_markup("a<b>&\"c\"\n") == "a&lt;b&gt;&amp;&quot;c&quot;\n");
  CHECK(escaped_markup("é – 漢 𝄞") == "é – 漢 𝄞");
  CHECK(escaped_markup(std::string("\0\x1b\x7f", 3)) == "\uFFFD\uFFFD\uFFFD");
  // Cut short, overlong, half a surrogate pair, past the last character.
  CHECK(escaped_markup("\xC3") == "\uFFFD");
  CHECK(escaped_markup("\xC0\xAF") == "\uFFFD\uFFFD");
  CHECK(escaped_markup("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");
  CHECK(escaped_markup("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST_CASE("drawn: hostile names are shown as they are, in an SVG without script") {
  if (!has_graphviz()) return;
  const std::string svg = drawn(hostile(), "svg");
  CHECK_THAT(svg, !Contains("<script") && !Contains("<!") && Contains("&lt;script&gt;"));
  CHECK_THAT(svg, !Contains("<TABLE>"));  // what Graphviz makes of "\N" inside a table
  CHECK_THAT(svg, Contains("id=\"b\"") && Contains("id=\"edge_0\""));
  CHECK(svg == drawn(hostile(), "svg"));
}

TEST_CASE("drawn: boxes of a graph to scale stand where they say") {
  if (!has_graphviz()) return;
  Graph graph{.title = "scale"};
  graph.add({.id = "left", .rows = {{{"l"}}}, .at = Box{0, 0, 100, 40}});
  graph.add({.id = "right", .rows = {{{"r"}}}, .at = Box{110, 10, 20, 30}});
  const std::string svg = drawn(graph, "svg");
  CHECK_THAT(svg, Contains("points=\"100,-40 0,-40 0,0 100,0 100,-40\""));
  CHECK_THAT(svg, Contains("points=\"130,-30 110,-30 110,0 130,0 130,-30\""));
}

TEST_CASE("drawn: a bitmap that would be shrunk until nobody can read it is refused") {
  if (!has_graphviz()) return;
  Graph graph{.title = "large"};
  graph.add({.id = "left", .rows = {{{"l"}}}, .at = Box{0, 0, 40, 40}});
  graph.add({.id = "right", .rows = {{{"r"}}}, .at = Box{40000, 0, 40, 40}});
  CHECK_THROWS_WITH(drawn(graph, "png"), Contains("too large for a bitmap"));
  CHECK_THAT(drawn(graph, "svg"), Contains("40040"));
}

TEST_CASE(
    "drawn: a dot file needs no Graphviz, and an unknown format is refused with those known") {
  CHECK(drawn(hostile(), "dot") == dot_text(hostile()));
  if (!has_graphviz()) return;
  CHECK(drawn(hostile(), "png").substr(1, 3) == "PNG");
  CHECK(drawn(hostile(), "pdf").substr(0, 4) == "%PDF");
  CHECK_THROWS_WITH(drawn(hostile(), "nonsense"),
                    Contains("could not write 'nonsense'") && Contains(".svg, .png, .pdf"));
}

}  // namespace
