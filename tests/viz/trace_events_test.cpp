// A trace says what the ledger says, in slices that nest and arrows that pair up; and what finds
// that out has been seen to find faults.
#include "viz/recording/trace_events.h"

#include <catch2/catch.hpp>

#include "tests/model/training_runs.h"
#include "tests/viz/fixed_run.h"
#include "tests/viz/trace_check.h"
#include "viz/recording/recorded_step.h"

using namespace tplab;
using namespace tplab::testing;
using nlohmann::json;

namespace {

struct Case {
  std::string text;
  StepOptions options;
};

std::vector<Case> cases() {
  return {
      {"tp 2", {.parallelism = {.tp = 2}}},
      {"tp 4, forward", {.parallelism = {.tp = 4}, .forward_only = true}},
      {"tp 2, dp 2, SP, ZeRO 2, recompute, 2 micro-batches",
       {.parallelism = {.tp = 2,
                        .dp = 2,
                        .sp = true,
                        .recompute = true,
                        .zero = Zero::gradients,
                        .accumulation = 2},
        .algorithm = Algorithm::tree}},
      {"dp 3", {.parallelism = {.dp = 3}}},
      {"one rank", {}},
  };
}

RecordedStep record(StepOptions options) {
  const auto source = small_weights();
  complete(options, source->architecture());
  return record_step(*source, options, "a small model");
}

std::string faults(const TraceCheck& check) {
  std::string all;
  for (const std::string& fault : check.faults()) all += fault + "\n";
  return all;
}

TEST_CASE("trace: slices nest, flows pair up, totals are the ledger's, on every kind of mesh") {
  for (const Case& c : cases()) {
    INFO(c.text);
    const RecordedStep step = record(c.options);
    const TraceCheck check(trace_text(step.run));
    CHECK(faults(check) == "");
    const std::vector<TraceTotals> totals = check.totals();
    REQUIRE(totals.size() == step.ranks.size());
    size_t joined = 0;
    for (size_t r = 0; r < totals.size(); ++r) {
      TraceTotals ledger;
      for (const Event& e : step.ranks[r].ledger.events()) {
        ++ledger.calls;
        ledger.elements += e.elements;
        ledger.payload_bytes += e.payload_bytes;
        ledger.wire_bytes += e.wire_bytes;
        // One flow to each but the last: a rank's share, times its group.
        joined += static_cast<size_t>(e.group_size - 1) * 12 / static_cast<size_t>(e.group_size);
      }
      CHECK(totals[r].calls == ledger.calls);
      CHECK(totals[r].elements == ledger.elements);
      CHECK(totals[r].payload_bytes == ledger.payload_bytes);
      CHECK(totals[r].wire_bytes == ledger.wire_bytes);
      CHECK((ledger.calls > 0) == (totals.size() > 1));
    }
    CHECK(12 * check.flows() == joined);
  }
}

TEST_CASE("trace: phases hold modules, modules hold collectives, and ranks have names") {
  const TraceCheck check(trace_text(record({.parallelism = {.tp = 2}}).run));
  const std::vector<std::string> names = check.slice_names(1);
  REQUIRE(names.size() > 6);
  CHECK(names[0] == "phase forward");
  CHECK(names[1] == "module embed");
  CHECK(names[2] == "operation embedding");
  const auto end = static_cast<long>(names.size());
  const auto at = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) - names.begin();
  };
  CHECK(at("module block 1/attn") > at("module block 0/mlp"));
  CHECK(at("phase backward") > at("module head/loss"));
  CHECK(at("phase optimizer") > at("phase backward"));
  CHECK(at("module norm") > at("phase optimizer"));
  CHECK(at("module block 0/mlp backward") > at("module block 1/mlp backward"));
  CHECK(at("module block 0/mlp backward") < at("phase optimizer"));
  for (const char* operation : {"linear", "layer_norm", "causal_attention", "activation",
                                "linear_backward_weight", "adamw"})
    CHECK(at(fmt::format("operation {}", operation)) < end);
  CHECK(at("module norm") < end);
  CHECK(check.thread_name(2) == "rank 1 (tp 1, dp 0)");
}

// The fixed run's trace after a change to it.
TraceCheck changed(const std::function<void(json& events)>& change) {
  json trace = json::parse(trace_text(fixed_run()));
  change(trace["traceEvents"]);
  return TraceCheck(trace.dump());
}

json& first(json& events, const std::string& phase, const std::string& category = "") {
  const auto at = std::find_if(events.begin(), events.end(), [&](const json& e) {
    return e["ph"] == phase && (category.empty() || e["cat"] == category);
  });
  REQUIRE(at != events.end());
  return *at;
}

TEST_CASE("trace mutants: what is wrong with a trace is found") {
  CHECK(faults(changed([](json&) {})) == "");
  const auto drop = [](json& events, const std::string& phase) {
    events.erase(events.begin() + (&first(events, phase) - &events[0]));
  };
  CHECK(changed([&](json& e) { drop(e, "f"); }).found("is no pair of s and f"));
  CHECK(changed([&](json& e) {
          drop(e, "s");
          drop(e, "f");
        }).found("has 0 flows in and 0 out"));
  CHECK(changed([](json& e) { first(e, "f")["id"] = 77; }).found("is no pair of s and f"));
  CHECK(changed([](json& e) { first(e, "f").erase("bp"); }).found("do not belong together"));
  CHECK(changed([](json& e) {
          first(e, "f")["tid"] = first(e, "s")["tid"];
        }).found("do not belong together"));
  CHECK(changed([](json& e) {
          json& bytes = first(e, "X", "collective")["args"]["wire_bytes"];
          bytes = bytes.get<int64_t>() + 1;
        }).found("not at its collectives' bytes"));
  CHECK(changed([](json& e) {
          json& length = first(e, "X", "module")["dur"];
          length = length.get<double>() + 1e6;
        }).found("overlaps"));
  CHECK(changed([](json& e) {
          json& length = first(e, "X", "moving")["dur"];
          length = length.get<double>() / 2;
        }).found("is not waiting and moving"));
  CHECK(changed([&](json& e) {
          e.erase(e.begin() + (&first(e, "X", "waiting") - &e[0]));
        }).found("a gap"));
  CHECK(changed([](json& e) {
          std::swap(first(e, "X", "phase"), e.back());
        }).found("not in the order of time"));
  CHECK(changed([&](json& e) { drop(e, "M"); }).found("has no name"));
  CHECK(changed([](json& e) {
          json& length = first(e, "X", "operation")["dur"];
          length = length.get<double>() + 3;
        }).found("overlaps"));
  CHECK(changed([](json& e) {
          first(e, "X", "waiting")["cat"] = "operation";
        }).found("is in no module and no phase"));
  CHECK(changed([](json& e) {
          first(e, "X", "module")["name"] = "block 0 backward";
        }).found("is named as of another pass"));
  CHECK(TraceCheck("{").found("no JSON object"));
}

TEST_CASE("trace: names of any kind are escaped") {
  RunRecording run = fixed_run();
  const std::string name = "a \"quoted\" <b>&\\ name,\nof two lines, é\x01 \xff";
  run.model = name;
  for (RankRecording& rank : run.ranks) rank.scopes[0].site = name;
  const std::string text = trace_text(run);
  CHECK(faults(TraceCheck(text)) == "");
  const json trace = json::parse(text);
  const std::string expected = "a \"quoted\" <b>&\\ name,\nof two lines, é\x01 \xEF\xBF\xBD";
  CHECK(trace["otherData"]["model"] == expected);
  CHECK(TraceCheck(text).slice_names(1)[1] == "module " + expected);
}

}  // namespace
