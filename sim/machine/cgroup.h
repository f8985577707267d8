// What the control groups of this process allow it: the limits of containers and batch systems.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tplab {

struct CgroupLimits {
  std::optional<int> cores;  // of processor time, rounded up
  std::optional<int64_t> memory_bytes;
};

// The least of the process' own group and of those it lies in, version 1 or 2; no value where none
// is set or none can be read. `root`: the folder that has proc/ and sys/, for tests.
CgroupLimits cgroup_limits(const std::string& root = "");

}  // namespace tplab
