// The results file: derived numbers against values computed by hand, and runs with little to tell.

#include "model/training/results.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <limits>

#include "sim/error.h"

namespace tplab {
namespace {

using Json = nlohmann::ordered_json;
using Catch::Contains;

// Four steps on a mesh of dp 2, tp 1: the first is slow, as first steps are. The numbers are such
// that sums are exact, and averages nearly so.
TrainingResults four_steps() {
  TrainingResults results;
  results.model = find_preset("nano-cpu").config;
  results.dp = 2;
  results.warmup_steps = 1;
  results.options = {{"text", "input.txt"}, {"zero", 1}};
  const auto step = [](int64_t i, double loss, double seconds, int64_t peak) {
    return StepRecord{.step = i,
                      .loss = loss,
                      .step_time_s = seconds,
                      .forward_time_s = seconds / 4,
                      .backward_time_s = seconds / 2,
                      .optimizer_time_s = seconds / 8,
                      .communication_time_s = seconds / 16,
                      .tokens = 1024,
                      .samples = 16,
                      .memory_allocated_bytes = 1'500'000'000,
                      .memory_peak_bytes = peak};
  };
  results.steps = {step(0, 8.0, 64.0, 2'000'000'000), step(1, 4.0, 2.0, 2'250'000'000),
                   step(2, 3.0, 4.0, 2'250'000'000), step(3, 2.0, 6.0, 2'125'000'000)};
  results.ranks = {{.dp = 0,
                    .tp = 0,
                    .step_time_s = 12,
                    .communication_time_s = 0.75,
                    .tp_bytes = 100,
                    .dp_bytes = 3000},
                   {.dp = 1,
                    .tp = 0,
                    .step_time_s = 12,
                    .communication_time_s = 3,
                    .tp_bytes = 200,
                    .dp_bytes = 3300}};
  return results;
}

// That `value` is a number and this one, but for a rounding or two.
void check_near(const Json& value, double expected) {
  INFO(value.dump() << " should be " << expected);
  REQUIRE(value.is_number());
  CHECK(std::abs(value.get<double>() - expected) <= 1e-12 * std::abs(expected));
}

}  // namespace

TEST_CASE("results: a step has its own rates and gigabytes of 1e9 bytes") {
  const Json document = results_json(four_steps());
  REQUIRE(document["steps"].size() == 4);
  const Json& step = document["steps"][2];
  CHECK(step["step"] == 2);
  CHECK(step["loss"] == 3.0);
  CHECK(step["step_time_s"] == 4.0);
  CHECK(step["forward_time_s"] == 1.0);
  CHECK(step["backward_time_s"] == 2.0);
  CHECK(step["optimizer_time_s"] == 0.5);
  CHECK(step["communication_time_s"] == 0.25);
  CHECK(step["tokens_per_sec"] == 256.0);  // 1024 / 4
  CHECK(step["samples_per_sec"] == 4.0);   // 16 / 4
  check_near(step["memory_allocated_gb"], 1.5);
  check_near(step["memory_peak_gb"], 2.25);
}

TEST_CASE("results: averages leave the warm-up out, the final loss and the peak do not") {
  const Json summary = results_json(four_steps())["summary"];
  CHECK(summary["steps"] == 4);
  CHECK(summary["measured_steps"] == 3);
  CHECK(summary["final_loss"] == 2.0);
  check_near(summary["peak_memory_gb"], 2.25);
  check_near(summary["avg_loss"], 3);                     // of 4, 3, 2
  check_near(summary["avg_step_time_s"], 4);              // of 2, 4, 6
  check_near(summary["std_step_time_s"], 2);              // sqrt((4 + 0 + 4) / 2)
  check_near(summary["avg_forward_time_s"], 1);           // a quarter
  check_near(summary["avg_backward_time_s"], 2);          // a half
  check_near(summary["avg_optimizer_time_s"], 0.5);       // an eighth
  check_near(summary["avg_communication_time_s"], 0.25);  // a sixteenth
  check_near(summary["avg_tokens_per_sec"], 256);         // 3 * 1024 / 12
  check_near(summary["avg_samples_per_sec"], 4);          // 3 * 16 / 12
  // Of 512, 256 and 1024 / 6: their mean is 2816 / 9, and the squares of 1792 / 9, -512 / 9 and
  // -1280 / 9 add up to 5111808 / 81.
  check_near(summary["std_tokens_per_sec"], std::sqrt(5111808.0 / 81 / 2));
}

TEST_CASE("results: the peak counts also where it was in the warm-up") {
  TrainingResults results = four_steps();
  results.steps[0].memory_peak_bytes = 3'000'000'000;
  check_near(results_json(results)["summary"]["peak_memory_gb"], 3);
}

TEST_CASE(
    "results: the breakdown adds up to 100 percent, and communication is a share of its own") {
  const Json summary = results_json(four_steps())["summary"];
  const Json& breakdown = summary["timing_breakdown"];
  check_near(breakdown["forward_percent"], 25);
  check_near(breakdown["backward_percent"], 50);
  check_near(breakdown["optimizer_percent"], 12.5);
  check_near(breakdown["other_percent"], 12.5);
  const Json& communication = summary["communication"];
  check_near(communication["percent"], 6.25);
  CHECK(communication["bytes"] == 6600);
  check_near(communication["bytes_per_step"], 2200);
  CHECK(communication["tp_bytes"] == 300);
  CHECK(communication["dp_bytes"] == 6300);
}

TEST_CASE("results: a rank is used while it is outside collectives") {
  const Json ranks = results_json(four_steps())["summary"]["ranks"];
  REQUIRE(ranks.size() == 2);
  CHECK(ranks[1]["rank"] == 1);
  CHECK(ranks[1]["dp"] == 1);
  CHECK(ranks[1]["tp"] == 0);
  CHECK(ranks[1]["dp_bytes"] == 3300);
  check_near(ranks[0]["utilisation_percent"], 93.75);  // 11.25 of 12 s
  check_near(ranks[1]["utilisation_percent"], 75);     // 9 of 12 s
}

TEST_CASE("results: a rank's use adds up its events by axis") {
  Event over_tp, over_dp;
  over_tp.axis = Axis::tp;
  over_tp.wire_bytes = 48;
  over_tp.start_ns = 1'000'000'000;
  over_tp.end_ns = 1'250'000'000;
  over_dp.axis = Axis::dp;
  over_dp.wire_bytes = 1000;
  over_dp.start_ns = 2'000'000'000;
  over_dp.end_ns = 2'500'000'000;
  RankUse use;
  use.add({over_tp, over_dp, over_tp});
  use.add({over_dp});
  check_near(use.communication_time_s, 1.5);
  CHECK(use.tp_bytes == 96);
  CHECK(use.dp_bytes == 2000);
}

TEST_CASE("results: a run of no steps has nulls where there is nothing to average") {
  TrainingResults results = four_steps();
  results.steps.clear();
  results.ranks = {{}};
  const Json document = results_json(results);
  CHECK(document["steps"] == Json::array());
  const Json& summary = document["summary"];
  CHECK(summary["steps"] == 0);
  CHECK(summary["measured_steps"] == 0);
  for (const char* key : {"final_loss", "peak_memory_gb", "avg_loss", "avg_step_time_s",
                          "std_step_time_s", "avg_forward_time_s", "avg_backward_time_s",
                          "avg_optimizer_time_s", "avg_communication_time_s", "avg_tokens_per_sec",
                          "std_tokens_per_sec", "avg_samples_per_sec"}) {
    INFO(key);
    REQUIRE(summary.contains(key));
    CHECK(summary[key].is_null());
  }
  for (const Json& share : summary["timing_breakdown"]) CHECK(share.is_null());
  CHECK(summary["communication"]["percent"].is_null());
  CHECK(summary["communication"]["bytes"] == 0);
  CHECK(summary["communication"]["bytes_per_step"].is_null());
  CHECK(summary["ranks"][0]["utilisation_percent"].is_null());
}

TEST_CASE("results: all warm-up has a final loss and steps, but no averages") {
  for (const int64_t warmup : {4, 5, 1000}) {
    TrainingResults results = four_steps();
    results.warmup_steps = warmup;
    const Json document = results_json(results);
    CHECK(document["steps"].size() == 4);
    CHECK(document["summary"]["measured_steps"] == 0);
    CHECK(document["summary"]["final_loss"] == 2.0);
    CHECK(document["summary"]["avg_step_time_s"].is_null());
    CHECK(document["summary"]["std_step_time_s"].is_null());
    CHECK(document["summary"]["avg_tokens_per_sec"].is_null());
  }
}

TEST_CASE("results: one measured step is its own average and has no deviation") {
  TrainingResults results = four_steps();
  results.warmup_steps = 3;
  const Json summary = results_json(results)["summary"];
  CHECK(summary["measured_steps"] == 1);
  CHECK(summary["avg_step_time_s"] == 6.0);
  CHECK(summary["std_step_time_s"].is_null());
  CHECK(summary["std_tokens_per_sec"].is_null());
  results.warmup_steps = 0;
  results.steps.resize(1);
  CHECK(results_json(results)["summary"]["avg_step_time_s"] == 64.0);
  CHECK(results_json(results)["summary"]["std_step_time_s"].is_null());
}

TEST_CASE("results: what is not finite is null, in the step and where it is summed up") {
  TrainingResults results = four_steps();
  results.steps[3].loss = std::numeric_limits<double>::quiet_NaN();
  results.steps[2].loss = std::numeric_limits<double>::infinity();
  results.steps[1].step_time_s = 0;
  const Json document = results_json(results);
  CHECK(document["steps"][3]["loss"].is_null());
  CHECK(document["steps"][2]["loss"].is_null());
  CHECK(document["steps"][1]["tokens_per_sec"].is_null());
  CHECK(document["summary"]["final_loss"].is_null());
  CHECK(document["summary"]["avg_loss"].is_null());
  CHECK_THAT(document.dump(), !Contains("nan") && !Contains("inf"));
}

TEST_CASE("results: the config says the mesh, the model and the command's options") {
  const Json document = results_json(four_steps());
  const Json& config = document["config"];
  CHECK(config["tp"] == 1);
  CHECK(config["dp"] == 2);
  CHECK(config["world_size"] == 2);
  CHECK(config["warmup_steps"] == 1);
  CHECK(config["model"]["n_layer"] == 4);
  CHECK(config["options"]["text"] == "input.txt");
  CHECK(results_file_name(2, 4) == "results_tp2_dp4.json");
  std::vector<std::string> keys;
  for (const auto& [key, value] : document.items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"config", "steps", "summary"});
}

TEST_CASE("results: the file is the document, and replaces an older one") {
  namespace fs = std::filesystem;
  const fs::path folder = fs::path(TPLAB_BINARY_DIR) / "results_test";
  fs::create_directories(folder);
  const std::string path = (folder / results_file_name(1, 2)).string();
  write_results(path, {{"old", true}});
  TrainingResults results = four_steps();
  results.options["text"] = "not UTF-8: \xff";
  write_results(path, results_json(results));
  std::ifstream file(path);
  const Json read = Json::parse(file);
  CHECK(read["summary"] == results_json(results)["summary"]);
  CHECK_FALSE(fs::exists(path + ".part"));
  fs::remove_all(folder);
}

TEST_CASE("results: a file that cannot be written is an error that says where and why") {
  const auto refusal = [](const std::string& path) {
    try {
      write_results(path, {{"a", 1}});
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  const std::string absent = std::string(TPLAB_BINARY_DIR) + "/no/such/folder/results.json";
  CHECK_THAT(refusal(absent), Contains(absent) && Contains("No such file") && Contains("fix: "));
  CHECK_THAT(refusal(TPLAB_BINARY_DIR), Contains("Is a directory") || Contains("not empty"));
}

}  // namespace tplab
