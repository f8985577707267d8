// Little memory, few threads, small stacks, odd settings of threads: exit code 4 with a fix, or the
// work done. Never an end by a signal.
#include <unistd.h>

#include <catch2/catch.hpp>

#include "run_tplab.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

bool is_skipped() {
  if (kSanitized) WARN("skipped: sanitizers need more memory and stack than the limits here");
  return kSanitized;
}

const std::vector<std::string> kLimitedCommands = {
    "verify --preset nano-cpu --tp 4 --seq 64",
    "verify --backward --preset nano-cpu --tp 2 --dp 2 --steps 1 --seq 8",
    "train --steps 2 --tp 2 --dp 2 --out \"$OUT\"/train",
    "trace --preset nano-cpu --tp 4 -o \"$OUT\"/trace.json",
    "monitor --preset nano-cpu --tp 4 --steps 2",
    "generate --preset nano-cpu --tokens 1 --max-new 20 --tp 4",
    "explore --no-diagram -o \"$OUT\"/page.html",
    "draw block --preset gpt2-medium --tp 4",
    "info --preset gpt2-medium --tp 4",
    "bench forward --preset nano-cpu --repeat 1 --seq 16",
    "bench decode --preset nano-cpu --repeat 1 --steps 4",
    "bench collectives --tp 4 --max 64K --repeat 1",
    "bench attention --batch 1 --seq 64 --heads 2 --repeat 1",
};

// Under `prlimit` with these limits, with OUT a folder that is thrown away.
Ran limited(const std::string& limits, const std::string& command) {
  const TemporaryFolder folder;
  return shell("OUT='" + (folder / "") + "'; exec prlimit " + limits + " -- \"$TPLAB\" " + command);
}

// It did its work or says that it cannot.
void check_limited(const Ran& ran) {
  CAPTURE(ran.err);
  CHECK((ran.exit_code == 0 || ran.exit_code == 4));
  if (ran.exit_code == 4)
    CHECK_THAT(ran.err, Contains("tplab: ") && Contains("\n  fix: ") && !Contains("bug in tplab"));
}

TEST_CASE("little memory: every command does its work or exits with 4", "[slow]") {
  if (is_skipped()) return;
  int refused = 0;
  for (const std::string& command : kLimitedCommands) {
    for (const int64_t mib : {45, 55, 60, 65, 70, 75, 80, 90, 100, 120, 200}) {
      CAPTURE(command, mib);
      const Ran ran = limited("--as=" + std::to_string(mib << 20), command);
      if (ran.exit_code == 127) continue;  // not enough to load the program
      check_limited(ran);
      refused += ran.exit_code == 4;
    }
  }
  CHECK(refused > 10);
}

TEST_CASE("few threads: exit code 4, and how to get more") {
  if (is_skipped()) return;
  const bool is_root = geteuid() == 0;  // whom the limit does not hold
  const std::string nobody =
      is_root ? "setpriv --reuid 65534 --regid 65534 --clear-groups " : std::string();
  if (shell("exec " + nobody + "\"$TPLAB\" --version").exit_code != 0) {
    WARN("skipped: another user cannot run the command from here");
    return;
  }
  for (const char* command : {"generate --preset nano-cpu --tokens 1 --tp 4",
                              "verify --preset nano-cpu --tp 2 --seq 4 --batch 1",
                              "bench collectives --tp 4 --max 4K --repeat 1"}) {
    CAPTURE(command);
    const Ran ran = shell("exec prlimit --nproc=1 -- " + nobody + "\"$TPLAB\" " + command);
    CHECK(ran.exit_code == 4);
    CHECK_THAT(ran.err, Contains("threads of the") && Contains("ulimit -u"));
  }
}

TEST_CASE("a small stack is enough") {
  if (is_skipped()) return;
  for (const std::string& command : kLimitedCommands) {
    CAPTURE(command);
    const Ran ran = limited("--stack=65536", command);
    CAPTURE(ran.err);
    CHECK(ran.exit_code == 0);
  }
}

// Less what the runtime itself says of such a setting.
std::string without_openmps_own(const std::string& text) {
  std::istringstream lines(text);
  std::string kept;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty() && !line.starts_with("libgomp: ") && !line.starts_with("OMP: "))
      kept += line + "\n";
  return kept;
}

TEST_CASE("what OpenMP is told changes nothing") {
  const std::vector<std::string> command = {
      "verify", "--checkpoint", std::string(TPLAB_SOURCE_DIR) + "/tests/fixtures/nanogpt-tiny",
      "--tp", "2"};
  const Ran plain = tplab(command);
  REQUIRE(plain.exit_code == 0);
  for (const char* setting :
       {"OMP_NUM_THREADS=100000", "OMP_NUM_THREADS=0", "OMP_THREAD_LIMIT=1", "OMP_PROC_BIND=true",
        "OMP_PLACES={0}", "GOMP_CPU_AFFINITY=0", "KMP_AFFINITY=compact", "OMP_STACKSIZE=1",
        "OMP_STACKSIZE=rubbish", "OMP_STACKSIZE=999G", "OMP_DYNAMIC=true",
        "OMP_MAX_ACTIVE_LEVELS=0"}) {
    CAPTURE(setting);
    const Ran ran = tplab(command, {.env = {setting}});
    CHECK(ran.exit_code == 0);
    CHECK(without_openmps_own(ran.err) == plain.err);
    CHECK(tplab({"doctor", "--help"}, {.env = {setting}}).exit_code == 0);
  }
}

TEST_CASE("sizes that no machine has are refused at once") {
  const auto refused = [](const std::string& command, int exit_code) {
    CAPTURE(command);
    const Ran ran = shell("exec \"$TPLAB\" " + command);
    CHECK(ran.exit_code == exit_code);
    CHECK_THAT(ran.err, Contains("\n  fix: ") && !Contains("bug in tplab"));
  };
  for (const char* command : {"verify", "verify --backward", "trace", "bench forward",
                              "bench decode", "bench train", "generate --tokens 1"})
    refused(std::string(command) + " --preset nano-cpu --tp 100000", 2);
  const std::string most = " --batch 2147483647 --seq 2147483647";
  for (const char* command : {"verify", "bench forward", "bench decode", "bench train"})
    refused(std::string(command) + " --preset nano-cpu" + most, 2);  // longer than the context
  const std::string many = " --preset nano-cpu --tp 1 --batch 2147483647";
  for (const char* command : {"verify", "bench forward", "bench decode", "bench train --dp 1"})
    refused(command + many, 4);
  refused("bench collectives --tp 64 --min 4G --max 4G", 4);
}

}  // namespace
}  // namespace tplab
