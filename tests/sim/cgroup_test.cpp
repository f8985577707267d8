// The limits of control groups, read from folders as the kernel shows them.
#include "sim/machine/cgroup.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

namespace tplab {
namespace {

namespace fs = std::filesystem;

class FakeRoot {
 public:
  FakeRoot() {
    std::string name = (fs::temp_directory_path() / "tplab-cgroup-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~FakeRoot() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;
  void write(const std::string& file, const std::string& text) {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  CgroupLimits limits() const { return cgroup_limits(path_.string()); }

 private:
  fs::path path_;
};

TEST_CASE("cgroup_limits: the least of a group and of those it lies in, cores rounded up") {
  FakeRoot root;
  root.write("proc/self/cgroup", "0::/job/step\n");
  root.write("sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/job/step/memory.max", "3000000\n");
  root.write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
  root.write("sys/fs/cgroup/job/memory.max", "5000000\n");
  root.write("sys/fs/cgroup/cpu.max", "800000 100000\n");
  CHECK(root.limits().cores == 2);
  CHECK(root.limits().memory_bytes == 3000000);
}

TEST_CASE("cgroup_limits: version 1, with a path of the host's that a container does not show") {
  FakeRoot root;
  root.write("proc/self/cgroup", "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
  CHECK(root.limits().cores == 1);
  CHECK(root.limits().memory_bytes == 2147483648);
}

TEST_CASE("cgroup_limits: none where none is set, and none where nothing can be read") {
  FakeRoot root;
  CHECK_FALSE(root.limits().cores);
  root.write("proc/self/cgroup", "0::/\n3:cpu:/\n4:memory:/\nrubbish\n");
  root.write("sys/fs/cgroup/cpu.max", "max 100000\n");
  root.write("sys/fs/cgroup/memory.max", "max\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK_FALSE(root.limits().cores);
  CHECK_FALSE(root.limits().memory_bytes);
}

}  // namespace
}  // namespace tplab
