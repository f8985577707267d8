// The tree of what modules communicate, exactly.
#include "viz/recording/module_traffic.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

using namespace tplab;

namespace {

// Three blocks, the last of which also gathers.
std::vector<Communication> a_step() {
  std::vector<Communication> all = {
      {"embed", Phase::forward, Axis::tp, Op::all_reduce, 65536, 65536}};
  for (const Phase phase : {Phase::forward, Phase::backward})
    for (int i = 0; i < 3; ++i)
      for (const char* part : {"attn", "mlp"})
        all.push_back({"block " + std::to_string(i) + "/" + part, phase, Axis::tp, Op::all_reduce,
                       1024, 1536});
  all.push_back({"block 2/mlp", Phase::forward, Axis::tp, Op::all_gather, 1024, 512});
  all.push_back({"replicas", Phase::backward, Axis::dp, Op::reduce_scatter, 4096, 2048});
  all.push_back({"replicas", Phase::optimizer, Axis::dp, Op::all_gather, 4096, 2048});
  return all;
}

std::string text(const std::vector<Communication>& expected,
                 const std::vector<Communication>& counted, bool unfold = false) {
  return traffic_text(compare_traffic(expected, counted), unfold, false);
}

TEST_CASE("module traffic: blocks that are alike are one, and the optimizer has its own part") {
  CHECK(text(a_step(), a_step()) == R"(  module                  forward                backward
                         expected     counted    expected     counted
  embed
    all_reduce         1 64.0 KiB  1 64.0 KiB
  blocks 0-1, each
    attn
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
    mlp
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
  block 2
    attn
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
    mlp
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
      all_gather       1    512 B  1    512 B
  replicas
    reduce_scatter dp                          1 2.00 KiB  1 2.00 KiB
  total                8 73.5 KiB  8 73.5 KiB  7 11.0 KiB  7 11.0 KiB

  module            optimizer
                     expected     counted
  replicas
    all_gather dp  1 2.00 KiB  1 2.00 KiB
  total            1 2.00 KiB  1 2.00 KiB
)");
}

TEST_CASE("module traffic: unfolded, every block is shown, and the totals are the same") {
  const std::string folded = text(a_step(), a_step()), all = text(a_step(), a_step(), true);
  for (const char* block : {"  block 0\n", "  block 1\n", "  block 2\n"})
    CHECK_THAT(all, Catch::Contains(block));
  const auto total = [](const std::string& t) {  // without the spaces, whose number differs
    std::string words;
    std::istringstream line(t.substr(t.find("total"), t.find("optimizer") - t.find("total")));
    for (std::string word; line >> word;) words += word + " ";
    return words;
  };
  CHECK(total(folded) == "total 8 73.5 KiB 8 73.5 KiB 7 11.0 KiB 7 11.0 KiB module ");
  CHECK(total(all) == total(folded));
}

TEST_CASE("module traffic: what differs is marked, with exact bytes, and is not folded") {
  std::vector<Communication> counted = a_step();
  counted[3].wire_bytes += 1;                                                     // block 1/attn
  counted.push_back({"head", Phase::backward, Axis::tp, Op::broadcast, 64, 64});  // nobody expected
  const auto sites = compare_traffic(a_step(), counted);
  CHECK(std::count_if(sites.begin(), sites.end(), [](auto& s) { return !s.agrees(); }) == 2);
  CHECK(traffic_text(sites, false, false) ==
        R"(  module                  forward                backward
                         expected     counted    expected     counted
  embed
    all_reduce         1 64.0 KiB  1 64.0 KiB
  block 0
    attn
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
    mlp
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
  block 1
    attn
!     all_reduce       1   1536 B  1   1537 B  1 1.50 KiB  1 1.50 KiB
    mlp
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
  block 2
    attn
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
    mlp
      all_reduce       1 1.50 KiB  1 1.50 KiB  1 1.50 KiB  1 1.50 KiB
      all_gather       1    512 B  1    512 B
  replicas
    reduce_scatter dp                          1 2.00 KiB  1 2.00 KiB
  head
!   broadcast                                  0      0 B  1     64 B
! total                8  75264 B  8  75265 B  7  11264 B  8  11328 B

  module            optimizer
                     expected     counted
  replicas
    all_gather dp  1 2.00 KiB  1 2.00 KiB
  total            1 2.00 KiB  1 2.00 KiB
)");
}

}  // namespace
