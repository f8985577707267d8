#include "cli/machine_facts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <Eigen/Core>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/error.h"
#include "sim/machine/world.h"

namespace tplab::cli {

namespace {

// The text after "key:" or "key   :" in a file of such lines.
std::string value_of(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// /proc/meminfo's "MemTotal:  16384 kB".
std::optional<int64_t> memory(std::string_view key) {
  std::istringstream text(value_of("/proc/meminfo", key));
  int64_t kib = 0;
  if (!(text >> kib)) return {};
  return kib * 1024;
}

// "always [madvise] never" -> "madvise"
std::string huge_pages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const size_t begin = line.find('['), end = line.find(']');
  if (begin == std::string::npos || end == std::string::npos) return "";
  return line.substr(begin + 1, end - begin - 1);
}

std::string find_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string file = fmt::format("{}/{}", folder, program);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

void find_simd(MachineFacts& facts) {
  const auto add = [&](const char* name, bool compiled, bool has) {
    if (compiled) facts.simd_compiled.emplace_back(name);
    if (has) facts.simd_cpu.emplace_back(name);
  };
#if defined(__AVX2__)
  constexpr bool kAvx2 = true;
#else
  constexpr bool kAvx2 = false;
#endif
#if defined(__FMA__)
  constexpr bool kFma = true;
#else
  constexpr bool kFma = false;
#endif
#if defined(__AVX512F__)
  constexpr bool kAvx512 = true;
#else
  constexpr bool kAvx512 = false;
#endif
#if defined(__x86_64__)
  add("AVX2", kAvx2, __builtin_cpu_supports("avx2"));
  add("FMA", kFma, __builtin_cpu_supports("fma"));
  add("AVX-512", kAvx512, __builtin_cpu_supports("avx512f"));
#elif defined(__ARM_NEON)
  add("NEON", true, true);
#endif
}

// One thread a core, which a World checks for itself.
void try_threads(MachineFacts& facts) {
  try {
    World({.tp = std::min(facts.cores, kMaxRanks), .threads_per_rank = 1}).run([](Rank&) {});
  } catch (const Error& error) {
    facts.threads_problem = error.problem();
    facts.threads_fix = error.fix();
  }
}

}  // namespace

std::vector<std::string> MachineFacts::simd_unused() const {
  std::vector<std::string> unused;
  for (const std::string& name : simd_cpu)
    if (std::find(simd_compiled.begin(), simd_compiled.end(), name) == simd_compiled.end())
      unused.push_back(name);
  return unused;
}

std::string program_version() { return TPLAB_VERSION; }

MachineFacts machine_facts() {
  MachineFacts facts;
  facts.cpu = value_of("/proc/cpuinfo", "model name");
  facts.cores = available_cores();
  facts.cores_online = std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  find_simd(facts);
  try_threads(facts);
  facts.memory_bytes = memory("MemTotal");
  facts.memory_available_bytes = memory("MemAvailable");
  facts.container = cgroup_limits();
  facts.huge_pages = huge_pages();
#if defined(__clang__)
  facts.compiler =
      fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  facts.compiler = fmt::format("g++ {}", __VERSION__);
#endif
  facts.build_type = TPLAB_BUILD_TYPE;
  facts.sanitizers = TPLAB_SANITIZERS;
  facts.version = TPLAB_VERSION;
  facts.libraries = {
      {"Eigen",
       fmt::format("{}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)},
      {"fmt",
       fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                    NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
      {"CLI11", CLI11_VERSION},
      {"libzip", TPLAB_LIBZIP_VERSION},
      {"PCRE2", TPLAB_PCRE2_VERSION}};
  facts.dot = find_in_path("dot");
  return facts;
}

}  // namespace tplab::cli
