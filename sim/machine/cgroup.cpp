// Reads /proc/self/cgroup, and the limits of each group from there to the root.
#include "sim/machine/cgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace tplab {
namespace {

// The number that a file begins with; none for "max", -1, or a file that is not there.
std::optional<double> number_in(std::istream& in) {
  double value = 0;
  if (!(in >> value) || !(value > 0)) return {};
  return value;
}
std::optional<double> number_in(const std::string& path) {
  std::ifstream file(path);
  return number_in(file);
}

void lower(CgroupLimits& limits, std::optional<double> cores, std::optional<double> bytes) {
  constexpr double kMost = 1e18;  // version 1 writes "none" as a number near 2^63
  if (cores && *cores < 1e6)
    limits.cores = std::min(limits.cores.value_or(1 << 20), static_cast<int>(std::ceil(*cores)));
  if (bytes && *bytes < kMost)
    limits.memory_bytes =
        std::min(limits.memory_bytes.value_or(INT64_MAX), static_cast<int64_t>(*bytes));
}

void read_version_2(const std::string& folder, CgroupLimits& limits) {
  std::ifstream cpu(folder + "/cpu.max");  // "max 100000", or "150000 100000"
  const std::optional<double> quota = number_in(cpu), period = number_in(cpu);
  lower(limits, quota && period ? std::optional(*quota / *period) : std::nullopt,
        number_in(folder + "/memory.max"));
}

void read_version_1_cpu(const std::string& folder, CgroupLimits& limits) {
  const auto quota = number_in(folder + "/cpu.cfs_quota_us");
  const auto period = number_in(folder + "/cpu.cfs_period_us");
  if (quota && period) lower(limits, *quota / *period, {});
}

void read_version_1_memory(const std::string& folder, CgroupLimits& limits) {
  lower(limits, {}, number_in(folder + "/memory.limit_in_bytes"));
}

// f of mount + "/a/b", mount + "/a" and mount. In a container the path may be one of the host's
// that is not there; the group itself is then the mount.
template <class F>
void for_path_to_root(const std::string& mount, std::string path, F f) {
  while (path.size() > 1) {
    f(mount + path);
    path.resize(path.find_last_of('/'));
  }
  f(mount);
}

}  // namespace

CgroupLimits cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b" or "4:cpu,cpuacct:/a/b"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string kinds = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    const auto read = [&](const std::string& folder, auto how) {
      for_path_to_root(folder, path, [&](const std::string& one) { how(one, limits); });
    };
    if (kinds == ",,") read(mount, read_version_2);
    if (kinds.find(",cpu,") != std::string::npos) read(mount + "/cpu", read_version_1_cpu);
    if (kinds.find(",memory,") != std::string::npos) read(mount + "/memory", read_version_1_memory);
  }
  return limits;
}

}  // namespace tplab
