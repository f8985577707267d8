// GPUs through NVML, by a library that is made up (tests/fake_nvml): what is given, what is not,
// and what goes wrong.
#include <stdlib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "sim/error.h"
#include "sim/nvml/gpu_watch.h"
#include "sim/nvml/gpus.h"
#include "sim/nvml/visible_gpus.h"

using namespace tplab;
using Catch::Contains;

namespace {

// The library's answers while one of these exists.
class Script {
 public:
  explicit Script(const char* words) { setenv("FAKE_NVML", words, 1); }
  ~Script() { unsetenv("FAKE_NVML"); }
  Script(const Script&) = delete;
  Script& operator=(const Script&) = delete;
};

std::vector<GpuReading> read_gpus(const char* words, const char* library = TPLAB_FAKE_NVML) {
  const Script script(words);
  return Gpus(library).read();
}

Error refused_by_driver(const char* words, const char* library = TPLAB_FAKE_NVML) {
  const Script script(words);
  try {
    const Gpus gpus(library);
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::run, "nothing was refused", ""};
}

const GpuReading::Missing* missing(const GpuReading& gpu, const std::string& field) {
  for (const GpuReading::Missing& one : gpu.missing)
    if (one.field == field) return &one;
  return nullptr;
}

constexpr int64_t kGiB = int64_t{1} << 30;
const std::string kUuid0 = "GPU-aaaa0000-1111-2222-3333-444444444444",
                  kUuid1 = "GPU-aabb0000-1111-2222-3333-444444444444",
                  kMig = "MIG-3c5a7e10-0000-5000-8000-000000000001";

TEST_CASE("NVML: everything that a driver gives of a GPU is read, in its units") {
  const std::vector<GpuReading> gpus = read_gpus("");
  REQUIRE(gpus.size() == 2);
  const GpuReading& gpu = gpus[0];
  CHECK(gpu.number == "0");
  CHECK(gpu.name == "NVIDIA H100 80GB HBM3");
  CHECK(gpu.uuid == kUuid0);
  CHECK(gpus[1].uuid == kUuid1);
  CHECK(gpu.mig_mode == false);
  CHECK(gpu.memory_total_bytes == 80 * kGiB);
  CHECK(gpu.memory_used_bytes == 5 * kGiB / 2);
  CHECK(gpu.memory_free_bytes == 77 * kGiB);
  CHECK(gpu.memory_reserved_bytes == kGiB / 2);
  CHECK(gpu.utilisation_percent == 90);
  CHECK(gpus[1].utilisation_percent == 30);
  CHECK(gpu.temperature_c == 42);
  CHECK(gpu.power_w == Approx(123.456));
  CHECK(gpu.power_limit_w == Approx(700));
  CHECK(gpu.sm_clock_mhz == 1980);
  CHECK(gpu.memory_clock_mhz == 2619);
  CHECK(gpu.throttle_reasons == std::vector<std::string>{"power cap", "thermal (HW)"});
  CHECK(gpu.missing.empty());
  REQUIRE(gpu.processes);
  REQUIRE(gpu.processes->size() == 20);  // more than there was room for at first
  CHECK(gpu.processes->at(0).pid == 4321);
  CHECK(gpu.processes->at(0).name == "/usr/bin/python3");
  CHECK(gpu.processes->at(0).memory_bytes == 2 * kGiB);
  CHECK(!gpu.processes->at(1).name);
  CHECK(!gpu.processes->at(1).memory_bytes);  // not 2^64 - 1, nor 0
  CHECK(gpus[1].processes->empty());
}

TEST_CASE("NVML: what a MIG device is not told is absent, never 0, and is no error") {
  const std::vector<GpuReading> gpus = read_gpus("mig");
  REQUIRE(gpus.size() == 3);
  CHECK(gpus[1].mig_mode == true);
  CHECK(!gpus[1].utilisation_percent);
  const GpuReading& part = gpus[2];
  CHECK(part.number == "1.1");
  CHECK(part.is_mig_device);
  CHECK(part.uuid == kMig);
  CHECK(part.gpu_instance == 7);
  CHECK(part.compute_instance == 0);
  CHECK(part.memory_total_bytes == 10 * kGiB);
  CHECK(!part.utilisation_percent);
  CHECK(!part.temperature_c);
  CHECK(!part.power_w);
  CHECK(!part.sm_clock_mhz);
  CHECK(!part.throttle_reasons);
  REQUIRE(missing(part, "power_w"));
  CHECK(missing(part, "power_w")->why == "Not Supported");
  for (const GpuReading::Missing& one : part.missing) CHECK(!one.is_error);
}

TEST_CASE("NVML: a GPU that is lost in the middle keeps its name, and the others are read") {
  const Script script("lost=1");
  const Gpus gpus(TPLAB_FAKE_NVML);
  CHECK(gpus.read()[1].power_w.has_value());
  const GpuReading half = gpus.read()[1];  // lost between two of its fields
  CHECK(half.memory_total_bytes == 80 * kGiB);
  CHECK(!half.power_w);
  const std::vector<GpuReading> after = gpus.read();
  REQUIRE(after.size() == 2);
  CHECK(after[0].power_w.has_value());
  CHECK(after[1].uuid == kUuid1);
  CHECK(!after[1].memory_total_bytes);
  CHECK(!after[1].processes);
  for (const char* field :
       {"memory", "utilisation_percent", "temperature_c", "processes", "mig_mode"}) {
    REQUIRE(missing(after[1], field));
    CHECK(missing(after[1], field)->why == "GPU is lost");
    CHECK(missing(after[1], field)->is_error);
  }
}

TEST_CASE("NVML: a GPU that was lost before is a row that says so") {
  const std::vector<GpuReading> gpus = read_gpus("lost=0");
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].power_w.has_value());
  CHECK(!gpus[1].name);
  REQUIRE(gpus[1].missing.size() == 1);
  CHECK(gpus[1].missing[0].field == "all");
  CHECK(gpus[1].missing[0].is_error);
}

TEST_CASE("NVML: one field that may not be seen is that field's error") {
  const std::vector<GpuReading> gpus = read_gpus("denied");
  CHECK(!gpus[0].processes);
  REQUIRE(missing(gpus[0], "processes"));
  CHECK(missing(gpus[0], "processes")->why == "Insufficient Permissions");
  CHECK(missing(gpus[0], "processes")->is_error);
  CHECK(gpus[0].missing.size() == 1);
}

TEST_CASE("NVML: an old driver's functions are found, and what it lacks is absent") {
  const std::vector<GpuReading> gpus = read_gpus("", TPLAB_FAKE_NVML_OLD);
  REQUIRE(gpus.size() == 2);
  CHECK(gpus[0].memory_used_bytes == 3 * kGiB);  // with what is reserved
  CHECK(!gpus[0].memory_reserved_bytes);
  CHECK(gpus[0].temperature_c == 41);
  CHECK(gpus[0].throttle_reasons == std::vector<std::string>{"power cap", "thermal (HW)"});
  REQUIRE(gpus[0].processes->size() == 20);  // of the older, shorter structure
  CHECK(gpus[0].processes->at(19).pid == 4340);
  CHECK(gpus[0].processes->at(19).memory_bytes == 2 * kGiB);
  CHECK(!gpus[0].mig_mode);
  std::set<std::string> fields;
  for (const GpuReading::Missing& one : gpus[0].missing) {
    fields.insert(one.field);
    CHECK(!one.is_error);
  }
  CHECK(fields == std::set<std::string>{"memory_reserved_bytes", "mig_mode"});
}

TEST_CASE(
    "NVML: no driver, one that is not loaded, two versions, no GPU: refused with the way out") {
  const auto check = [](const Error& error, const std::string& why, const std::string& fix) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK_THAT(error.problem(), Contains(why));
    CHECK_THAT(error.fix(), Contains(fix));
  };
  check(refused_by_driver("", "libno-such-driver.so.1"),
        "no NVIDIA driver is here: libno-such-driver.so.1", "tplab monitor --preset nano-cpu");
  check(refused_by_driver("init=9"), "Driver Not Loaded", "modprobe nvidia");
  check(refused_by_driver("init=18"), "Driver/library version mismatch", "reboot");
  check(refused_by_driver("init=4"), "Insufficient Permissions", "/dev/nvidia");
  check(refused_by_driver("init=999"), "Unknown Error", "nvidia-smi");
  check(refused_by_driver("none"), "shows no GPU", "tplab monitor --preset nano-cpu");
  check(refused_by_driver("", "libm.so.6"), "lacks the functions of NVML", "--nvml");
}

TEST_CASE("NVML: reasons that clocks are held back by, an unknown bit by its number") {
  CHECK(throttle_reasons(0).empty());
  CHECK(throttle_reasons(0x1ff).size() == 9);
  CHECK(throttle_reasons(0x80) == std::vector<std::string>{"power brake"});
  CHECK(throttle_reasons(1ull << 40) == std::vector<std::string>{"reason 40"});
}

// "0 1 -" for CUDA's numbers of the readings; "yes", "no" where there is none but that is known.
std::string cuda_views(const std::vector<GpuReading>& readings, const CudaEnvironment& set,
                       std::string* notes = nullptr) {
  const VisibleGpus visible = visible_gpus(readings, set);
  std::string text;
  for (const CudaView& view : visible.views) {
    text += text.empty() ? "" : " ";
    text += view.number    ? std::to_string(*view.number)
            : view.visible ? (*view.visible ? "yes" : "no")
                           : "-";
    CHECK(!(view.number && view.visible != true));
  }
  if (notes)
    for (const std::string& note : visible.notes) *notes += note + "\n";
  return text;
}

TEST_CASE("CUDA_VISIBLE_DEVICES: indices, UUIDs and beginnings of them, in their order") {
  const std::vector<GpuReading> two = read_gpus("");
  const auto set = [&](const std::string& list, std::string* notes = nullptr) {
    return cuda_views(two, {list, {}}, notes);
  };
  CHECK(cuda_views(two, {}) == "0 1");
  CHECK(set("0,1") == "0 1");
  CHECK(set("1,0") == "1 0");
  CHECK(set("1") == "no 0");
  CHECK(set(" 1 , 0 ") == "1 0");
  CHECK(set(kUuid1) == "no 0");
  CHECK(set("GPU-aab") == "no 0");
  CHECK(set("GPU-aab,GPU-aaa") == "1 0");
  CHECK(set("GPU-aabb,0") == "1 0");
  CHECK(set("") == "no no");
  CHECK(set("-1") == "no no");
  std::string notes;
  set("1,0", &notes);
  CHECK_THAT(notes, Contains("CUDA_VISIBLE_DEVICES=1,0: CUDA's GPU 0 is 1, 1 is 0 here"));
}

TEST_CASE("CUDA_VISIBLE_DEVICES: what fits no GPU, several, or one that was named ends the list") {
  const std::vector<GpuReading> two = read_gpus("");
  const auto set = [&](const std::string& list, const std::string& why) {
    std::string notes;
    const std::string seen = cuda_views(two, {list, {}}, &notes);
    CHECK_THAT(notes, Contains(why));
    return seen;
  };
  CHECK(set("1,2,0", "'2' fits no GPU") == "no 0");
  CHECK(set("GPU-aa,0", "'GPU-aa' fits no GPU, or several") == "no no");
  CHECK(set("0,,1", "'' fits no GPU") == "0 no");
  CHECK(set("aabb", "'aabb' fits no GPU") == "no no");
  CHECK(set("1,1,0", "'1' is there twice") == "no 0");
  CHECK(set("NoDevFiles", "CUDA sees no GPU") == "no no");
  CHECK(set("0,-1,1", "CUDA's GPU 0 is 0 here") == "0 no");
}

TEST_CASE("CUDA_VISIBLE_DEVICES: an index is NVML's only where the order is the bus's") {
  const std::vector<GpuReading> kinds = read_gpus("kinds");
  std::string notes;
  CHECK(cuda_views(kinds, {}, &notes) == "yes yes");
  CHECK_THAT(notes, Contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"));
  CHECK(cuda_views(kinds, {{}, "PCI_BUS_ID"}) == "0 1");
  CHECK(cuda_views(kinds, {"1", {}}) == "- -");
  CHECK(cuda_views(kinds, {"1", "PCI_BUS_ID"}) == "no 0");
  CHECK(cuda_views(kinds, {"GPU-aabb", {}}) == "no 0");  // a UUID is one GPU's, whatever the order
}

TEST_CASE("CUDA_VISIBLE_DEVICES: MIG devices, by their UUID and as they were named before 2021") {
  const std::vector<GpuReading> divided = read_gpus("mig");
  CHECK(cuda_views(divided, {}) == "- - -");
  CHECK(cuda_views(divided, {kMig, {}}) == "no no 0");
  CHECK(cuda_views(divided, {"MIG-3c5a", {}}) == "no no 0");
  CHECK(cuda_views(divided, {"MIG-" + kUuid1 + "/7/0", {}}) == "no no 0");
  CHECK(cuda_views(divided, {"MIG-" + kUuid1 + "/7/1", {}}) == "no no no");
  CHECK(cuda_views(divided, {"MIG-" + kUuid0 + "/7/0", {}}) == "no no no");
  CHECK(cuda_views(divided, {"0," + kMig, {}}) == "0 no 1");
}

GpuReading reading(const std::string& number, std::optional<int64_t> busy, int64_t used) {
  GpuReading gpu;
  gpu.number = number;
  gpu.utilisation_percent = busy;
  gpu.memory_used_bytes = used;
  return gpu;
}

TEST_CASE("watch: averages, peaks and imbalance of what was given, of the GPUs that count") {
  GpuWatch watch;
  watch.add({reading("0", 90, 4), reading("1", 30, 2), reading("2", 100, 7)}, {true, true, false});
  watch.add({reading("0", 70, 8), reading("1", 50, 2), reading("2", {}, 7)}, {true, true, false});
  const std::vector<GpuSummary> gpus = watch.summaries();
  REQUIRE(gpus.size() == 3);
  CHECK(watch.samples() == 2);
  CHECK(gpus[0].utilisation_percent.average == Approx(80));
  CHECK(gpus[0].utilisation_percent.peak == Approx(90));
  CHECK(gpus[0].utilisation_percent.imbalance == Approx(80.0 / 60 - 1));
  CHECK(gpus[1].utilisation_percent.imbalance == Approx(40.0 / 60 - 1));
  CHECK(gpus[0].memory_used_bytes.peak == Approx(8));
  CHECK(gpus[0].memory_used_bytes.imbalance == Approx(0.5));
  CHECK(gpus[2].utilisation_percent.average == Approx(100));  // the one reading that there was
  CHECK(gpus[2].utilisation_percent.readings == 1);
  CHECK(!gpus[2].utilisation_percent.imbalance);
  CHECK(!gpus[0].power_w.average);
  CHECK(!gpus[0].power_w.peak);
  CHECK(!gpus[0].power_w.imbalance);
}

TEST_CASE("watch: an error is kept once, and a reason for low clocks but idling") {
  GpuWatch watch;
  GpuReading gpu = reading("0", 1, 1);
  gpu.throttle_reasons = {"idle", "power cap"};
  gpu.missing = {{"power_w", "GPU is lost", true}, {"mig_mode", "Not Supported", false}};
  for (int i = 0; i < 3; ++i) watch.add({gpu}, {true});
  const GpuSummary summary = watch.summaries().at(0);
  CHECK(summary.throttle_reasons == std::vector<std::string>{"power cap"});
  REQUIRE(summary.errors.size() == 1);
  CHECK(summary.errors[0].field == "power_w");
  CHECK(!summary.utilisation_percent.imbalance);  // one alone has nothing to be uneven with
}

TEST_CASE("ticker: calls again and again until it is stopped, and brings back what was thrown") {
  std::atomic<int> calls = 0;
  Ticker ticker(std::chrono::milliseconds(1), [&] { ++calls; });
  while (calls < 3) std::this_thread::yield();
  ticker.stop();
  const int then = calls;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(calls == then);
  std::atomic<bool> thrown = false;
  Ticker failing(std::chrono::milliseconds(1), [&] {
    thrown = true;
    fail("the disk is full", "");
  });
  while (!thrown) std::this_thread::yield();
  CHECK_THROWS_WITH(failing.stop(), Contains("the disk is full"));
  CHECK_NOTHROW(failing.stop());
  Ticker never(std::chrono::hours(1), [] {});  // ends at once with its scope
}

}  // namespace
