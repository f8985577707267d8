// The explorer: what it records, where it finds each step's line, and that its page is safe.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <set>

#include "model/init.h"
#include "sim/error.h"
#include "viz/explore/page.h"
#include "viz/explore/sources.h"
#include "viz/explore/step_recorder.h"

using namespace tplab;
using namespace tplab::explore;
using Catch::Contains;

namespace {

const Recording& small() {
  static const Recording recording = record({});
  return recording;
}

// The first way in which a collective's result is not what its inputs make; empty if none.
std::string wrong_result(const Step& step) {
  const auto tp = step.after.ranks.size();
  const auto differs = [&](size_t rank, size_t i, double expected, double bound) {
    return !(std::fabs(static_cast<double>(step.after.ranks[rank][i]) - expected) <= bound);
  };
  const auto text = [&](size_t rank, size_t i) {
    return step.site + ": rank " + std::to_string(rank) + ", number " + std::to_string(i);
  };
  const size_t given = step.before->ranks[0].size();
  for (size_t rank = 0; rank < tp; ++rank) {
    for (size_t i = 0; i < step.after.ranks[rank].size(); ++i) {
      if (step.op == Op::all_gather) {
        const float from = step.before->ranks[i / given][i % given];
        if (differs(rank, i, static_cast<double>(from), 0)) return text(rank, i);
        continue;
      }
      const size_t at =
          step.op == Op::reduce_scatter ? rank * step.after.ranks[rank].size() + i : i;
      double sum = 0, size = 0, largest = -std::numeric_limits<double>::infinity();
      for (const auto& values : step.before->ranks) {
        const auto value = static_cast<double>(values[at]);
        sum += value;
        size += std::fabs(value);
        largest = std::max(largest, value);
      }
      // tp - 1 additions in f32, each within half a unit in the last place of a partial sum.
      const double bound = static_cast<double>(tp - 1) * 0x1p-24 * size * (1 + 0x1p-20);
      if (step.largest ? differs(rank, i, largest, 0) : differs(rank, i, sum, bound))
        return text(rank, i);
    }
  }
  return "";
}

TEST_CASE("explore: every collective's recorded result is what its recorded inputs make") {
  std::set<Op> seen;
  for (const Run& run : small().runs) {
    for (const Step& step : run.steps) {
      if (!step.op) continue;
      seen.insert(*step.op);
      CHECK(wrong_result(step).empty());
      if (step.op != Op::all_reduce) continue;
      for (const auto& rank : step.after.ranks) CHECK(rank == step.after.ranks[0]);
      Step other = step;  // a number that is not the run's is noticed
      other.after.ranks.back().back() += 1e-4f;
      CHECK_FALSE(wrong_result(other).empty());
    }
  }
  CHECK(seen == std::set<Op>{Op::all_reduce, Op::all_gather, Op::reduce_scatter});
}

TEST_CASE("explore: collectives say the placements that they go between") {
  std::set<std::string> seen;
  for (const Run& run : small().runs)
    for (const Step& step : run.steps)
      if (step.op)
        seen.insert(std::string(name(*step.op)) + ": " + step.before->placement + " to " +
                    step.after.placement);
  CHECK(seen == std::set<std::string>{
                    "all_gather: varying over T to invariant",   // the embedding's gradient
                    "all_gather: varying over T to replicated",  //
                    "all_reduce: partial to invariant",          //
                    "all_reduce: varying to invariant",          // the largest logits
                    "reduce_scatter: partial to varying over T"});
}

TEST_CASE("explore: each of four ranks has a token of its own, and the loss is one at every tp") {
  std::set<int32_t> quarters;
  for (const int32_t id : small().tokens.ids) quarters.insert(id / 64);
  CHECK(quarters.size() == 4);
  for (const Run& run : small().runs)  // f32: sums of 250 terms in another order
    CHECK(std::fabs(run.loss - small().runs[0].loss) <= 250 * 0x1p-24 * run.loss);
}

TEST_CASE("explore: steps that do not add up to the ledger's counts are refused") {
  Run run = small().runs.back();
  CHECK_NOTHROW(check(run));
  CHECK(totals_of(run) == run.totals);
  for (Step& step : run.steps) {
    if (!step.op) continue;
    ++step.wire_bytes[2];
    break;
  }
  CHECK_THROWS_WITH(check(run), Contains("tp 4 with SP") && Contains("rank 2"));
}

TEST_CASE("explore: ranks that did different things are not put together") {
  const RankStep a{.site = "a", .after = {"invariant", Shape{1}, 1, {1.0f}}};
  RankStep b = a;
  CHECK(put_together({{a}, {b}}).size() == 1);
  b.site = "b";
  CHECK_THROWS_WITH(put_together({{a}, {b}}), Contains("'a'") && Contains("'b'"));
  CHECK_THROWS_WITH(put_together({{a}, {a, b}}), Contains("different numbers of steps"));
  b = a;
  b.after.placement = "";
  CHECK_THROWS_WITH(put_together({{b}}), Contains("placed nowhere"));
}

TEST_CASE("explore: the embedded source is the source that was compiled") {
  for (const Anchor& anchor : anchors()) {
    std::ifstream file(std::string(TPLAB_SOURCE_DIR) + "/" + std::string(anchor.file),
                       std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    CHECK(text == embedded_text(anchor.file));
  }
  CHECK_THROWS_WITH(embedded_text("model/none.cpp"), Contains("model/none.cpp"));
}

TEST_CASE("explore: every step has its anchor in the source, and no anchor is without a step") {
  std::set<const Anchor*> used;
  for (const Run& run : small().runs) {
    for (size_t i = 0; i < run.steps.size(); ++i) {
      const Anchor& anchor = anchor_of(run.steps, i);
      used.insert(&anchor);
      const Code code = code_of(anchor, run.sp, embedded_text);
      CHECK_THAT(code.function.lines[static_cast<size_t>(code.line)],
                 Contains(std::string(anchor.call)));
      CHECK(code.stream.lines.empty() == !anchor.call.starts_with("S::"));
      CHECK_FALSE(code.why.empty());
    }
  }
  CHECK(used.size() == anchors().size());
}

// The embedded source with one text replaced everywhere.
Sources changed(const std::string& from, const std::string& to) {
  auto kept = std::make_shared<std::map<std::string, std::string, std::less<>>>();
  return [=](std::string_view path) -> std::string_view {
    std::string text(embedded_text(path));
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
    return (*kept)[std::string(path)] = text;
  };
}

TEST_CASE("explore: a page is refused when a step's line is gone, is there twice, or is unknown") {
  const auto refused = [](const std::string& from, const std::string& to, const std::string& what) {
    CHECK_THROWS_WITH(page_data(small(), changed(from, to)), Contains(what));
  };
  CHECK_NOTHROW(page_data(small(), changed("not there", "")));
  refused("show(\"qkv\"", "tell(\"qkv\"",
          "'show(\"qkv\"' is in model/layers/attention.cpp 0 times");
  refused("S::write(", "leave(", "'S::write(' is in");
  refused("(void)show(\"heads\"", "(void)show(\"heads\", x);\n(void)show(\"heads\"",
          "attention.cpp 2 times");
}

TEST_CASE("explore: a function that is gone, or there twice, is refused") {
  const Anchor& anchor = anchor_of(small().runs[0].steps, 0);
  CHECK_THROWS_WITH(code_of(anchor, false, changed("Embedding<Residual>::forward", "f")),
                    Contains("0 times"));
  CHECK_THROWS_WITH(code_of(anchor, false,
                            changed("Embedding<Residual>::forward(",
                                    "Embedding<Residual>::forward(\n"
                                    "> Embedding<Residual>::forward(")),
                    Contains("2 times"));
  std::vector<Step> steps = {small().runs[0].steps[0]};
  steps[0].site = "somewhere/new";
  CHECK_THROWS_WITH(anchor_of(steps, 0), Contains("no anchor for new"));
}

TEST_CASE("explore: no text of the data can end its script or begin markup") {
  Recording hostile = small();
  hostile.small[0].name = "</script><script>alert(1)</script>&<!--\xff\u2028";
  const std::string text = script_json(page_data(hostile, embedded_text));
  CHECK_THAT(text, !Contains("<") && !Contains(">") && !Contains("&"));
  CHECK(nlohmann::json::parse(text)["small"][0]["name"] ==
        "</script><script>alert(1)</script>&<!--\uFFFD\u2028");
  const std::string whole = page(hostile, {.diagrams = false});
  size_t scripts = 0;
  for (size_t at = whole.find("<script"); at != std::string::npos;
       at = whole.find("<script", at + 1))
    ++scripts;
  CHECK(scripts == 2);
}

TEST_CASE("explore: the page asks for nothing from elsewhere") {
  const std::string whole = page(small(), {.diagrams = false});
  for (const char* const word : {"src=", "http://", "https://", "@import", "url(", "fetch("})
    CHECK_THAT(whole, !Contains(word));
  CHECK_THAT(whole, Contains("default-src 'none'"));
}

}  // namespace
