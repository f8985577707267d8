// What this machine and this build are, as far as it can be read without measuring.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/machine/cgroup.h"

namespace tplab::cli {

struct MachineFacts {
  std::string cpu;  // model name; empty if unknown
  int cores = 1;    // that this process may use
  int cores_online = 1;
  std::vector<std::string> simd_compiled, simd_cpu;  // of AVX2, FMA, AVX-512 or NEON
  std::string threads_problem, threads_fix;          // empty: there is a thread for each core
  std::optional<int64_t> memory_bytes, memory_available_bytes;
  CgroupLimits container;
  std::string huge_pages;  // "always", "madvise" or "never"; empty if unknown
  std::string compiler, build_type, sanitizers, version;
  std::vector<std::pair<std::string, std::string>> libraries;  // name, version
  std::string dot;                                             // Graphviz' path, empty if absent

  // What the CPU has and the build does not use.
  std::vector<std::string> simd_unused() const;
};

MachineFacts machine_facts();

std::string program_version();  // "0.1.0"

}  // namespace tplab::cli
