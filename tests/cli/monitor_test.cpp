// tplab monitor: GPUs of a driver that is made up, alone and beside a command; virtual ranks.
#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;
using Arguments = std::vector<std::string>;

// With the driver that is made up, its script, and more of the environment.
Ran monitor(const Arguments& more, const std::string& script = "", Arguments env = {},
            const std::string& input = "") {
  Arguments all = {"monitor", "--nvml", TPLAB_FAKE_NVML};
  all.insert(all.end(), more.begin(), more.end());
  env.push_back("FAKE_NVML=" + script);
  return tplab(all, {.input = input, .env = env});
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_CASE("monitor: a table of what the driver gives, UUIDs and processes") {
  const Ran ran = monitor({});
  CHECK(ran.exit_code == 0);
  CHECK(ran.err.empty());
  for (const char* words :
       {"NVIDIA driver 580.65.06", "NVIDIA H100 80GB HBM3", "90 %", "80.0 GiB", "512 MiB", "42 C",
        "123 W of 700", "1980", "2619", "power cap, thermal (HW)",
        "GPU-aabb0000-1111-2222-3333-444444444444", "/usr/bin/python3"})
    CHECK_THAT(ran.out, Contains(words));
}

TEST_CASE("monitor: what is not given is a dash, null or nothing, never 0, and an error a note") {
  const json mig = monitor({"--json"}, "mig").json()["samples"][0]["gpus"][2];
  CHECK(mig["gpu"] == "1.1");
  CHECK(mig["is_mig_device"] == true);
  CHECK(mig["utilisation_percent"].is_null());
  CHECK(mig["power_w"].is_null());
  CHECK(mig["throttle_reasons"].is_null());
  CHECK(mig["memory_total_bytes"] == int64_t{10} << 30);
  const std::vector<std::string> csv = lines_of(monitor({"--csv"}, "mig").out);
  REQUIRE(csv.size() == 4);
  CHECK_THAT(csv[3], Contains(",10737418240,2684354560,7516192768,536870912,,,,,,,,"));
  const Ran lost = monitor({}, "lost=0");
  CHECK(lost.exit_code == 0);
  CHECK_THAT(lost.out, Contains("GPU 1: gives nothing: GPU is lost"));
  const json gone = monitor({"--json"}, "lost=0").json()["samples"][0]["gpus"][1];
  CHECK(gone["memory_used_bytes"].is_null());
  CHECK(gone["missing"] == json({{{"field", "all"}, {"why", "GPU is lost"}, {"error", true}}}));
  CHECK_THAT(monitor({}, "denied").out, Contains("GPU 0: processes: Insufficient Permissions"));
}

TEST_CASE("monitor: what CUDA_VISIBLE_DEVICES makes of the numbers is shown and said") {
  const Ran text = monitor({}, "", {"CUDA_VISIBLE_DEVICES=GPU-aabb"});
  CHECK_THAT(text.out, Contains("CUDA_VISIBLE_DEVICES=GPU-aabb: CUDA's GPU 0 is 1 here"));
  const json doc = monitor({"--json"}, "", {"CUDA_VISIBLE_DEVICES=1,0"}).json();
  CHECK(doc["cuda_visible_devices"] == "1,0");
  CHECK(doc["samples"][0]["gpus"][0]["cuda"] == 1);
  CHECK(doc["samples"][0]["gpus"][1]["cuda"] == 0);
  const json one = monitor({"--json"}, "", {"CUDA_VISIBLE_DEVICES=1"}).json();
  CHECK(one["samples"][0]["gpus"][0]["cuda"].is_null());
  CHECK(one["samples"][0]["gpus"][0]["cuda_visible"] == false);
}

TEST_CASE("monitor --every: so often as --count says, as tables, lines of CSV or one document") {
  CHECK(monitor({"--every", "0.01", "--count", "3", "--json"}).json()["samples"].size() == 3);
  const std::vector<std::string> csv =
      lines_of(monitor({"--every", "0.01", "--count", "3", "--csv"}).out);
  REQUIRE(csv.size() == 1 + 3 * 2);
  const auto fields = [](const std::string& line) {
    return std::count(line.begin(), line.end(), ',');
  };
  for (const std::string& line : csv) CHECK(fields(line) == fields(csv[0]));
  CHECK_THAT(csv[0], Catch::StartsWith("seconds,gpu,cuda,name,uuid,memory_total_bytes,"));
  const Ran tables = monitor({"--every", "0.01", "--count", "2"});
  CHECK(std::count(tables.out.begin(), tables.out.end(), '%') == 4);
  // A GPU that is lost in the middle ends nothing.
  const json lost = monitor({"--every", "0.01", "--count", "3", "--json"}, "lost=1").json();
  CHECK(lost["samples"][0]["gpus"][1]["power_w"].is_number());
  CHECK(lost["samples"][2]["gpus"][1]["power_w"].is_null());
  CHECK(lost["samples"][2]["gpus"][0]["power_w"].is_number());
}

TEST_CASE("monitor --every: Ctrl-C ends it with 130, and what was written is whole") {
  const TemporaryFolder folder;
  for (const char* format : {"--json", "--csv"}) {
    const std::string path = folder / format;
    Started started =
        start_tplab({"monitor", "--nvml", TPLAB_FAKE_NVML, "--every", "0.01", format, "-o", path});
    while (!std::filesystem::exists(path + ".part")) usleep(1000);
    usleep(100'000);
    started.send(SIGINT);
    const Ran ran = started.wait();
    CHECK(ran.exit_code == 130);
    REQUIRE(std::filesystem::exists(path));
    if (format == std::string("--json"))
      CHECK(!json::parse(file_text(path))["samples"].empty());
    else
      CHECK(lines_of(file_text(path)).size() % 2 == 1);
  }
}

TEST_CASE("monitor --: the command keeps stdin and stdout, and its exit code is tplab's") {
  const Ran ran = monitor(
      {"--every", "0.01", "--", "/bin/sh", "-c", "cat; echo its own >&2; sleep 0.1; exit 7"}, "",
      {}, "passed through\n");
  CHECK(ran.exit_code == 7);
  CHECK(ran.out == "passed through\n");
  CHECK_THAT(ran.err, Catch::StartsWith("its own\n/bin/sh: exit code 7, "));
  CHECK_THAT(ran.err,
             Contains("90 %") && Contains("+50 %") && Contains("-50 %") && Contains("2 GPUs"));
  // Its options and lists are its own, whatever they are called.
  const Ran echo = monitor({"--", "/bin/echo", "--config", "[1,2]", "--json", "--", "-x"});
  CHECK(echo.exit_code == 0);
  CHECK(echo.out == "--config [1,2] --json -- -x\n");
  CHECK(monitor({"--", "/bin/sh", "-c", "kill -9 $$"}).exit_code == 128 + SIGKILL);
}

TEST_CASE("monitor --: the report in a file, as a document, as lines, or as a table") {
  const TemporaryFolder folder;
  const Arguments command = {"--", "/bin/sh", "-c", "echo out; sleep 0.1; exit 3"};
  const auto with = [&](Arguments options, const std::string& script = "",
                        const Arguments& env = {}) {
    options.insert(options.end(), command.begin(), command.end());
    const Ran ran = monitor(options, script, env);
    CHECK(ran.exit_code == 3);
    CHECK(ran.out == "out\n");
    return ran;
  };
  with({"--every", "0.01", "--json", "-o", folder / "a.json"});
  const json doc = json::parse(file_text(folder / "a.json"));
  CHECK(doc["watched"]["exit_code"] == 3);
  CHECK(doc["watched"]["command"] == json({"/bin/sh", "-c", "echo out; sleep 0.1; exit 3"}));
  CHECK(doc["watched"]["samples"].get<int>() > 1);
  REQUIRE(doc["summary"].size() == 2);
  CHECK(doc["summary"][0]["utilisation_percent"]["average"] == 90.0);
  CHECK(doc["summary"][0]["utilisation_percent"]["imbalance"] == 0.5);
  CHECK(doc["summary"][1]["memory_used_bytes"]["imbalance"] == 0.0);
  const Ran csv = with({"--every", "0.01", "--csv", "-o", folder / "a.csv"});
  CHECK_THAT(csv.err, Contains("imbalance"));
  CHECK(lines_of(file_text(folder / "a.csv")).size() > 3);
  with({"-o", folder / "a.txt"});  // ended before the first look: one is taken then
  CHECK_THAT(file_text(folder / "a.txt"), Contains("exit code 3") && Contains("1 look at 2 GPUs"));
  // A GPU that CUDA hides from the command has no part in the imbalance.
  CHECK_THAT(with({}, "", {"CUDA_VISIBLE_DEVICES=1"}).err,
             Contains("CUDA_VISIBLE_DEVICES=1: CUDA's GPU 0 is 1 here"));
  with({"--json", "-o", folder / "b.json"}, "", {"CUDA_VISIBLE_DEVICES=1"});
  const json hidden = json::parse(file_text(folder / "b.json"))["summary"];
  REQUIRE(hidden.size() == 2);
  for (const json& gpu : hidden) CHECK(gpu["utilisation_percent"]["imbalance"].is_null());
  with({"--json", "-o", folder / "c.json"}, "mig");
  const json mig = json::parse(file_text(folder / "c.json"))["summary"][2];
  CHECK(mig["utilisation_percent"]["average"].is_null());
  CHECK(mig["power_w"]["peak"].is_null());
  CHECK(mig["memory_used_bytes"]["average"].is_number());
}

TEST_CASE("monitor --: signals reach the command, and the report comes all the same") {
  const TemporaryFolder folder;
  for (const int signal : {SIGTERM, SIGHUP, SIGINT}) {
    const std::string ready = folder / ("ready" + std::to_string(signal));
    Started started = start_tplab(
        {"monitor", "--nvml", TPLAB_FAKE_NVML, "--", "/bin/sh", "-c",
         "trap 'exit 9' TERM INT HUP; touch '" + ready + "'; while :; do sleep 0.02; done"});
    while (!std::filesystem::exists(ready)) usleep(1000);
    started.send(signal);
    const Ran ran = started.wait();
    CHECK(ran.exit_code == 9);
    CHECK_THAT(ran.err, Contains("exit code 9"));
  }
}

TEST_CASE("monitor: what cannot be is refused, before a command runs") {
  const auto refused = [](const Ran& ran, int exit_code, const std::string& why) {
    CHECK(ran.exit_code == exit_code);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Contains(why) && Contains("fix: "));
    CHECK(options_unknown_to({"monitor"}, ran.err).empty());
  };
  const TemporaryFolder folder;
  refused(tplab({"monitor", "--nvml", "libno-such.so", "--", "/bin/echo", "ran"}), 4,
          "no NVIDIA driver is here");
  refused(monitor({"--", "/bin/echo", "ran"}, "init=18"), 4, "version mismatch");
  refused(monitor({}, "none"), 4, "shows no GPU");
  refused(monitor({"--"}), 2, "no command stands behind --");
  refused(monitor({"--", folder / "absent"}), 2, "absent' cannot be run: No such file");
  refused(monitor({"--", folder / ""}), 2, "cannot be run");
  refused(monitor({"--json", "--", "/bin/echo", "ran"}), 2, "-o FILE");
  refused(monitor({"--csv", "--", "/bin/echo", "ran"}), 2, "-o FILE");
  refused(monitor({"--csv", "--json"}), 2, "exclude each other");
  refused(monitor({"--count", "2", "--", "/bin/echo", "ran"}), 2, "--count");
  refused(monitor({"sleep"}), 2, "behind a lone --");
  refused(monitor({"--tp", "2"}), 2, "--tp is of virtual ranks");
  refused(monitor({"--steps", "2"}), 2, "--steps is of virtual ranks");
  refused(tplab({"monitor", "--preset", "nano-cpu", "--every", "1"}), 2, "--every is of GPUs");
  refused(tplab({"monitor", "--preset", "nano-cpu", "--", "true"}), 2, "at once");
  for (const char* every : {"0", "-1", "nan", "inf", "1e9", "soon", ""})
    refused(monitor({"--every", every}), 2, "not a number of seconds from 0.01 to 86400");
  refused(monitor({"--count", "0"}), 2, "--count: '0'");
}

TEST_CASE("monitor --preset: what each virtual rank did with its time, held and sent") {
  const Arguments ranks = {"monitor", "--preset", "nano-cpu", "--seq", "8",
                           "--tp",    "2",        "--dp",     "2"};
  const auto with = [&](const Arguments& more) {
    Arguments all = ranks;
    all.insert(all.end(), more.begin(), more.end());
    const Ran ran = tplab(all);
    CHECK(ran.exit_code == 0);
    CHECK(ran.err.empty());
    return ran;
  };
  const json doc = with({"--steps", "2", "--json"}).json();
  CHECK(doc["kind"] == "ranks");
  CHECK(doc["steps"] == 2);
  REQUIRE(doc["ranks"].size() == 4);
  const json counted = tplab({"trace", "--table", "--preset", "nano-cpu", "--seq", "8", "--tp", "2",
                              "--dp", "2", "--json"})
                           .json();
  for (size_t r = 0; r < 4; ++r) {
    const json& rank = doc["ranks"][r];
    CHECK(rank["tp"] == r % 2);
    CHECK(rank["dp"] == r / 2);
    for (const char* time : {"computing_ns", "waiting_ns", "moving_ns"})
      CHECK(rank[time].get<int64_t>() > 0);
    CHECK(rank["memory_peak_bytes"] > rank["memory_bytes"]);
    CHECK(rank["sent_bytes"] == 2 * counted["ranks"][r]["counted"]["wire_bytes"].get<int64_t>());
    CHECK(rank["calls"] == 2 * counted["ranks"][r]["counted"]["calls"].get<int64_t>());
  }
  CHECK(lines_of(with({"--csv"}).out).size() == 5);
  CHECK_THAT(with({"--forward"}).out,
             Contains("computing") && Contains("waiting") && Contains("imbalance"));
  const json alone = tplab({"monitor", "--preset", "nano-cpu", "--seq", "4", "--json"}).json();
  CHECK(alone["ranks"][0]["waiting_ns"] == 0);
  CHECK(alone["ranks"][0]["imbalance"].is_null());
}

}  // namespace
}  // namespace tplab
