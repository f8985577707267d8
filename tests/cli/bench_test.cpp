// tplab bench and doctor: what they report is there and hangs together. How fast is not tested.
#include <array>
#include <catch2/catch.hpp>

#include "run_tplab.h"
#include "sim/cuda/gpus.h"

namespace tplab {
namespace {

using namespace testing;
using nlohmann::json;

void check_positive(const json& run, const std::vector<const char*>& keys) {
  for (const char* key : keys) {
    CAPTURE(key);
    CHECK(run.value(key, 0.0) > 0);
  }
}

TEST_CASE("bench collectives: a row for each tp, algorithm and size") {
  const json doc = tplab({"bench", "collectives", "--tp", "2,3", "--min", "4K", "--max", "16K",
                          "--repeat", "2", "--json"})
                       .json();
  CHECK(doc["bench"] == "collectives");
  CHECK(doc["op"] == "all_reduce");
  REQUIRE(doc["runs"].size() == 2 * 4 * 2);
  for (const json& run : doc["runs"]) {
    check_positive(run, {"best_us", "median_us", "copy_best_us", "of_copy"});
    const int64_t tp = run["tp"], bytes = run["bytes"];
    CHECK(bytes == run["count"].get<int64_t>() * 4);
    CHECK(bytes % (4 * tp) == 0);
    const double algorithm = run["algorithm_bytes_per_second"], bus = run["bus_bytes_per_second"];
    CHECK(bus / algorithm == Approx(2.0 * static_cast<double>(tp - 1) / static_cast<double>(tp)));
    CHECK(run["best_us"].get<double>() <= run["median_us"].get<double>());
  }
}

TEST_CASE("bench collectives: every operation runs, more ranks than cores too") {
  for (const std::string op : {"all_gather", "reduce_scatter", "broadcast", "all_to_all"}) {
    const Ran ran = tplab({"bench", "collectives", "--op", op, "--tp", "5", "--max", "4K",
                           "--repeat", "1", "--algorithm", "direct"});
    CHECK(ran.exit_code == 0);
    CHECK(ran.err.empty());
    CHECK_THAT(ran.out, Catch::StartsWith(op));
  }
}

TEST_CASE("bench forward: each tp beside the machine's limit", "[slow]") {
  const json doc = tplab({"bench", "forward", "--preset", "nano-cpu", "--tp", "1,2", "--repeat",
                          "1", "--seq", "16", "--json"})
                       .json();
  CHECK(doc["bench"] == "forward");
  CHECK(doc["seq"] == 16);
  REQUIRE(doc["runs"].size() == 2);
  for (const json& run : doc["runs"])
    check_positive(run, {"tp", "threads", "best_seconds", "median_seconds", "tokens_per_second",
                         "flops_per_second", "limit_flops_per_second", "of_limit", "ratio_best",
                         "ratio_median", "products_seconds"});
  CHECK(doc["runs"][0]["ratio_best"] == 1.0);
  CHECK(doc["runs"][0]["collectives_seconds"].is_null());
  for (const json& run : doc["runs"])
    CHECK(run["products_seconds"].get<double>() + run["rest_seconds"].get<double>() +
              (run["tp"] == 1 ? 0.0 : run["collectives_seconds"].get<double>()) ==
          Approx(run["median_seconds"].get<double>()));
}

TEST_CASE("bench decode, generate: a step that is not captured says why") {
  const std::string tiny = fixture("nanogpt-tiny");
  const json runs =
      tplab({"bench", "decode", "--checkpoint", tiny, "--device", "cuda-host", "--dtype", "bf16",
             "--tp", "1,2", "--repeat", "1", "--seq", "2", "--steps", "2", "--json"})
          .json()["runs"];
  CHECK(runs[0]["launches"] > 0);
  CHECK(runs[0]["not_captured"].is_null());
  CHECK(runs[1]["launches"] == 0);
  const std::string why = "its ranks meet in collectives, where the host has a part";
  CHECK(runs[1]["not_captured"] == why);
  const auto notes = [&](const std::string& device, const std::string& tp) {
    return tplab({"generate", "--checkpoint", tiny, "--tokens", "1,2", "--max-new", "2", "--device",
                  device, "--tp", tp})
        .err;
  };
  CHECK_THAT(notes("cuda-host", "2"), Catch::Contains(why.substr(0, 29)));
  CHECK(notes("cuda-host", "1").empty());
  CHECK(notes("cpu", "2").empty());
}

TEST_CASE("bench decode: each tp beside the machine's limit, and the ledger's cost", "[slow]") {
  const json doc = tplab({"bench", "decode", "--preset", "nano-cpu", "--tp", "1,2", "--repeat", "1",
                          "--seq", "8", "--steps", "8", "--json"})
                       .json();
  CHECK(doc["bench"] == "decode");
  check_positive(doc, {"bytes_per_step", "seq", "steps"});
  REQUIRE(doc["runs"].size() == 2);
  for (const json& run : doc["runs"])
    check_positive(run, {"tp", "threads", "best_seconds", "median_seconds", "tokens_per_second",
                         "bytes_per_second", "limit_bytes_per_second", "of_limit", "ratio_best"});
  CHECK(doc["runs"][0]["ledger_cost"].is_null());
  CHECK(doc["runs"][1]["ledger_cost"].is_number());
}

TEST_CASE("bench decode: lengths that were not given fit the model's context", "[slow]") {
  const auto lengths = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"bench", "decode", "--checkpoint", fixture("nanogpt-tiny"),  // of 32
                               "--tp", "1", "--repeat", "1", "--json"});
    const json doc = tplab(more).json();
    return std::pair(doc["seq"].get<int>(), doc["steps"].get<int>());
  };
  CHECK(lengths({}) == std::pair(16, 16));
  CHECK(lengths({"--seq", "31"}) == std::pair(31, 1));
  CHECK(lengths({"--steps", "31"}) == std::pair(1, 31));
}

TEST_CASE("bench train: a row for each mesh, with and without SP", "[slow]") {
  const json doc = tplab({"bench", "train", "--preset", "nano-cpu", "--tp", "1,2", "--dp", "1,2",
                          "--batch", "2", "--seq", "8", "--steps", "2", "--repeat", "1", "--json"})
                       .json();
  CHECK(doc["bench"] == "train");
  CHECK(doc["together"] == true);
  CHECK(doc["batch"] == 2);
  // Forward, 4 layers 128 wide: 2 * 16 tokens * (4 * 12 * 128^2 + 128 * 128), the vocabulary of 65
  // being padded to 128, and attention's 2 * 4 * 128 * 16 * 9.
  CHECK(doc["flops"] == 3 * (2.0 * 16 * (4 * 12 * 128 * 128 + 128 * 128) + 2 * 4 * 128 * 16 * 9));
  REQUIRE(doc["runs"].size() == 6);
  const std::vector<std::array<int, 3>> meshes = {{1, 1, 0}, {2, 1, 0}, {2, 1, 1},
                                                  {1, 2, 0}, {2, 2, 0}, {2, 2, 1}};
  for (size_t i = 0; i < 6; ++i) {
    const json& run = doc["runs"][i];
    const auto [tp, dp, sp] = meshes[i];
    CAPTURE(tp, dp, sp);
    CHECK(run["tp"] == tp);
    CHECK(run["dp"] == dp);
    CHECK(run["sp"] == (sp == 1));
    check_positive(run, {"threads", "best_seconds", "median_seconds", "tokens_per_second",
                         "flops_per_second", "limit_flops_per_second", "of_limit", "ratio_best",
                         "ratio_median", "peak_bytes", "predicted_bytes"});
    CHECK((run["tp_bytes_per_step"] > 0) == (tp > 1));
    CHECK((run["dp_bytes_per_step"] > 0) == (dp > 1));
    CHECK((run["communication"] > 0) == (tp * dp > 1));
    CHECK(run["communication"] < 1.0);
    // The prediction that training is refused by.
    CHECK(run["peak_bytes"].get<double>() ==
          Approx(run["predicted_bytes"].get<double>()).epsilon(0.05));
  }
  CHECK(doc["runs"][0]["ratio_best"] == 1.0);
}

TEST_CASE("bench train: --sp-regather sends more and keeps less", "[slow]") {
  const auto sp = [](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {
        "bench", "train",   "--preset", "nano-cpu", "--tp", "2",    "--batch", "2",     "--seq",
        "8",     "--steps", "1",        "--repeat", "1",    "--dp", "1",       "--json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const json doc = tplab(arguments).json();
    REQUIRE(doc["runs"].size() == 2);
    REQUIRE(doc["runs"][1]["sp"] == true);
    return doc["runs"][1];
  };
  const json kept = sp({}), regathered = sp({"--sp-regather"});
  CHECK(regathered["tp_bytes_per_step"] > kept["tp_bytes_per_step"]);
  CHECK(regathered["predicted_bytes"] < kept["predicted_bytes"]);
}

TEST_CASE("bench train: a batch or length that a mesh cannot divide is refused before the work") {
  const auto refused = [](const std::vector<std::string>& options, const std::string& why) {
    std::vector<std::string> arguments = {"bench", "train", "--preset", "nano-cpu"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Ran ran = tplab(arguments);
    CHECK(ran.exit_code == 2);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Catch::Contains(why) && Catch::Contains("fix:"));
  };
  refused({"--batch", "3"}, "3 sequences does not divide");
  refused({"--seq", "65"}, "context of 64");
  refused({"--tp", "3"}, "3");
  refused({"--dp", "1,,2"}, "--dp");
  refused({"--dp", "65"}, "64");
  refused({"--zero", "3"}, "3");
}

TEST_CASE("bench train: where sequence parallelism alone does not divide, it is left out",
          "[slow]") {
  const Ran ran = tplab({"bench", "train", "--preset", "nano-cpu", "--seq", "7", "--batch", "2",
                         "--tp", "2", "--dp", "1", "--repeat", "1", "--json"});
  CHECK_THAT(ran.err, Catch::Contains("SP is left out") && Catch::Contains("7 positions over 2"));
  const json doc = ran.json();
  REQUIRE(doc["runs"].size() == 1);
  CHECK(doc["runs"][0]["sp"] == false);
}

TEST_CASE("bench: lengths that the model does not have are refused") {
  const auto refused = [](const std::vector<std::string>& arguments) {
    const Ran ran = tplab(arguments);
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Catch::Contains("context of 64") && Catch::Contains("fix:"));
  };
  refused({"bench", "forward", "--preset", "nano-cpu", "--seq", "65"});
  refused({"bench", "decode", "--preset", "nano-cpu", "--seq", "60", "--steps", "5"});
}

TEST_CASE("doctor: every check has a state, and advice where something is to mend", "[slow]") {
  const json doc = tplab({"doctor", "--json"}).json();
  CHECK(doc["cores"].get<int>() >= 1);
  const bool has_cuda = !gpu_report().built_for.empty();
  CHECK(doc["devices"] == json({{"cpu", true}, {"cuda", has_cuda}, {"cuda-host", true}}));
  CHECK(doc["comms"]["threads"] == true);
  for (const char* library : {"Eigen", "fmt", "libzip", "PCRE2", "CLI11", "nlohmann-json"})
    CHECK(!doc["libraries"].value(library, "").empty());
  REQUIRE(!doc["measured"].empty());
  for (const json& measured : doc["measured"])
    check_positive(measured, {"threads", "read_bytes_per_second", "copy_bytes_per_second",
                              "matmul_f32_flops_per_second", "matmul_f64_flops_per_second"});
  for (const json& check : doc["checks"]) {
    const std::string state = check["state"];
    CHECK((state == "ok" || state == "note" || state == "fix"));
    CHECK((state == "ok") == check["advice"].get<std::string>().empty());
  }
}

}  // namespace
}  // namespace tplab
