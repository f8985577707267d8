// Timelines of a fixed run, exactly.
#include "viz/pictures/timeline.h"

#include <catch2/catch.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "tests/viz/fixed_run.h"
#include "viz/drawing/table.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

TEST_CASE("timeline: a rank waits for the last one, moves, and computes otherwise") {
  const Timeline t = timeline(fixed_run());
  REQUIRE(t.tracks.size() == 2);
  const Track &a = t.tracks[0], &b = t.tracks[1];
  CHECK(a.total_ns(Doing::waiting) == 10000);
  CHECK(a.total_ns(Doing::moving) == 10000 + 5000);
  CHECK(a.total_ns(Doing::computing) == 75000);
  CHECK(b.total_ns(Doing::waiting) == 21000);
  CHECK(b.total_ns(Doing::moving) == 15000 + 6000);
  for (const Track& track : t.tracks) {
    int64_t now = track.start_ns;
    for (const Stretch& s : track.stretches) {
      CHECK(s.start_ns == now);
      now = s.end_ns;
    }
    CHECK(now == track.end_ns);
  }
  CHECK(a.stretches[1].what == "all_reduce over tp at block 0/attn (forward), for rank 1");
}

TEST_CASE("times: three digits and a unit") {
  CHECK(human_time(0) == "0 ns");
  CHECK(human_time(999) == "999 ns");
  CHECK(human_time(1000) == "1.00 us");
  CHECK(human_time(9996) == "10.0 us");
  CHECK(human_time(99960) == "100 us");
  CHECK(human_time(999600) == "1.00 ms");
  CHECK(human_time(26'045'000) == "26.0 ms");
  CHECK(human_time(1'200'000'000'000) == "1200 s");
}

TEST_CASE("timeline text: 80 columns, ASCII") {
  CHECK(timeline_text(timeline(fixed_run()), {.unicode = false}) == R"(a model
a fixed run
       |forward                |backward                 compute    wait    move
rank 0 #######.....=====######################===#######  75.0 %  10.0 %  15.0 %
rank 1 ############========#########...........===######  58.0 %  21.0 %  21.0 %
       0                    50.0 us               100 us
       # computing   . waiting   = moving data
       one column is 2.04 us; it shows what took most of it
)");
}

TEST_CASE("timeline text: 80 columns, Unicode, and colour changes nothing but its codes") {
  const std::string plain = timeline_text(timeline(fixed_run()), {});
  CHECK(plain == R"(a model
a fixed run
       |forward                |backward                 compute    wait    move
rank 0 ███████·····▒▒▒▒▒██████████████████████▒▒▒███████  75.0 %  10.0 %  15.0 %
rank 1 ████████████▒▒▒▒▒▒▒▒█████████···········▒▒▒██████  58.0 %  21.0 %  21.0 %
       0                    50.0 us               100 us
       █ computing   · waiting   ▒ moving data
       one column is 2.04 us; it shows what took most of it
)");
  const std::string inked = timeline_text(timeline(fixed_run()), {.colour = true});
  CHECK(inked != plain);
  CHECK(std::regex_replace(inked, std::regex("\x1b\\[[0-9;]*m"), "") == plain);
}

TEST_CASE("timeline text: no line is wider than was asked for") {
  RunRecording run = fixed_run();
  run.what = "a description with many words in it, which one line of eighty columns does not hold";
  run.ranks.insert(run.ranks.end(), 60, run.ranks[0]);
  for (const int columns : {60, 80, 132})
    for (const bool unicode : {false, true}) {
      std::istringstream lines(
          timeline_text(timeline(run), {.unicode = unicode, .columns = columns}));
      for (std::string line; std::getline(lines, line);)
        CHECK(display_width(line) <= static_cast<size_t>(columns));
    }
}

const GraphNode& node(const Graph& graph, const std::string& id) {
  const auto at = std::find_if(graph.nodes.begin(), graph.nodes.end(),
                               [&](const GraphNode& n) { return n.id == id; });
  REQUIRE(at != graph.nodes.end());
  return *at;
}

TEST_CASE("timeline graph: boxes are to one scale, and say what was waited for") {
  const Graph graph = timeline_graph(timeline(fixed_run()));
  CHECK(graph.to_scale());
  const Box &all = *node(graph, "rank_0_track").at, &waiting = *node(graph, "rank_0_1").at,
            &moving = *node(graph, "rank_0_2").at;
  CHECK(waiting.width / all.width == Approx(0.1));
  CHECK((waiting.x - all.x) / all.width == Approx(0.15));
  CHECK(moving.x == Approx(waiting.x + waiting.width));
  CHECK(moving.width / all.width == Approx(0.1));
  CHECK(node(graph, "rank_0_1").tooltip ==
        "rank 0: waiting 10.0 us, all_reduce over tp at block 0/attn (forward), for rank 1");
  CHECK(
      node(graph, "rank_1_1").tooltip ==
      "rank 1: moving data 15.0 us, all_reduce over tp at block 0/attn (forward), sends 1.00 KiB");
  std::set<std::string> ids;
  for (const GraphNode& n : graph.nodes) {
    CHECK(n.at.has_value());
    CHECK(ids.insert(n.id).second);
  }
  CHECK(dot_text(graph) == dot_text(timeline_graph(timeline(fixed_run()))));
}

TEST_CASE("timeline graph: what is too short to be seen is left out") {
  RunRecording run = fixed_run();
  for (RankRecording& rank : run.ranks) rank.end_ns *= 1'000'000;
  const Graph graph = timeline_graph(timeline(run));
  for (const GraphNode& n : graph.nodes) CHECK(n.id != "rank_0_1");
}

}  // namespace
