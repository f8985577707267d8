// The explorer: what it records, where each step was called, and that its page is safe.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "model/init.h"
#include "sim/error.h"
#include "viz/explore/page.h"
#include "viz/explore/reasons.h"
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
  b.called = {{"model/network.cpp", 1}};
  CHECK_THROWS_WITH(put_together({{a}, {b}}), Contains("one rank has a tensor at 'a'"));
  b = a;
  b.after.placement = "";
  CHECK_THROWS_WITH(put_together({{b}}), Contains("placed nowhere"));
}

TEST_CASE("explore: the embedded source is the source that was compiled") {
  for (const EmbeddedText& source : explorer_sources()) {
    std::ifstream file(std::string(TPLAB_SOURCE_DIR) + "/" + std::string(source.path),
                       std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    CHECK(text == source.text);
  }
  CHECK_THROWS_WITH(embedded_text("model/none.cpp"), Contains("model/none.cpp"));
}

// The text of a line, of the embedded source; empty past its end.
std::string text_of(const Line& line) {
  std::istringstream source{std::string(embedded_text(line.file))};
  std::string text;
  for (int n = 0; n < line.number; ++n)
    if (!std::getline(source, text)) return "";
  return text;
}

// The calls in the model that may make a step, as its lines have them: of a collective in the
// innermost line.
std::vector<std::string> calls_of(const Step& step) {
  if (step.largest) return {"max_over_ranks("};
  if (step.op == Op::all_reduce) return {"leave(", "enter_backward("};
  if (step.op == Op::all_gather) return {"gather(", "scatter_sum_backward(", "split_backward("};
  if (step.op == Op::reduce_scatter) return {"scatter_sum(", "gather_backward("};
  const std::string shown = step.site.substr(step.site.rfind('/') + 1);
  return {"show(\"" + shown + "\"", step.site.find("/ln_") != std::string::npos
                                        ? "show(norm_name_, "
                                        : "show(result_name_, "};
}

// What is wrong with where a step says that it was called; empty if nothing is.
std::string wrong_line(const Step& step) {
  const std::string inner = text_of(step.called.back()), outer = text_of(step.called.front());
  const std::vector<std::string> calls = calls_of(step);
  if (std::none_of(calls.begin(), calls.end(),
                   [&](const std::string& call) { return inner.find(call) != std::string::npos; }))
    return step.site + " is not made by " + inner;
  const Code code = code_of(step, embedded_text);
  if (code.function.lines[static_cast<size_t>(code.line)] != outer)
    return step.site + " has the code of another line than " + outer;
  if (code.stream.lines.empty()) return "";
  std::smatch function;  // "  static Tensor<Replicated> read(const ..": S::read( is the call
  if (!std::regex_search(code.stream.lines[0], function, std::regex(" (\\w+\\()")) ||
      outer.find("S::" + function[1].str()) == std::string::npos)
    return step.site + " is not made through " + code.stream.lines[0] + " by " + outer;
  return "";
}

TEST_CASE("explore: every step was called in the line that has its call, and has a reason") {
  std::set<const Reason*> used;
  std::map<const Reason*, Line> lines;
  for (const Run& run : small().runs) {
    for (size_t i = 0; i < run.steps.size(); ++i) {
      const Step& step = run.steps[i];
      CAPTURE(run.tp, run.sp, i);
      REQUIRE_FALSE(step.called.empty());
      CHECK(wrong_line(step) == "");
      CHECK(step.called.size() <= 2);
      for (const int off : {-2, 2}) {  // the check sees a line that is not the step's
        Step other = step;
        other.called.back().number += off;
        CHECK(wrong_line(other) != "");
      }
      const Reason& reason = reason_of(run.steps, i);
      CHECK_FALSE(reason.why.empty());
      used.insert(&reason);  // of all runs and blocks, one line
      CHECK(lines.try_emplace(&reason, step.called.front()).first->second == step.called.front());
      if (reason.nth > 0) CHECK_FALSE(lines.at(&reason) == lines.at(&reason - 1));
    }
  }
  CHECK(used.size() == reasons().size());
}

TEST_CASE("explore: a step that was called where no function is, or without a reason, is refused") {
  std::vector<Step> steps = {small().runs[0].steps[0]};
  CHECK_NOTHROW(code_of(steps[0], embedded_text));
  for (const Line& line : {Line{"model/layers/mlp.cpp", 0}, Line{"model/layers/mlp.cpp", 1000},
                           Line{"model/layers/none.cpp", 1}}) {
    steps[0].called = {line};
    CHECK_THROWS_WITH(code_of(steps[0], embedded_text), Contains(std::string(line.file)));
  }
  steps[0].site = "somewhere/new";
  CHECK_THROWS_WITH(reason_of(steps, 0), Contains("no reason for new"));
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
