// tplab trace: a file that trace viewers open, and a table of what was expected and counted.
#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "cli/trace_table.h"
#include "run_tplab.h"
#include "tests/viz/trace_check.h"

namespace tplab {
namespace {

using namespace testing;
using cli::RankTraffic;
using cli::trace_table;
using cli::TraceTable;
using nlohmann::json;
using Arguments = std::vector<std::string>;
using Catch::Contains;

Arguments and_options(Arguments all, const Arguments& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

const Arguments kTrace = {"trace", "--preset", "nano-cpu", "--seq", "8"};
const Arguments kTable = {"trace", "--table", "--preset", "nano-cpu"};

TEST_CASE("trace: the file holds what --table counts, on meshes of several kinds") {
  const Arguments meshes[] = {{"--tp", "2"},
                              {"--tp", "2", "--dp", "2", "--sp", "--zero", "2", "--recompute"},
                              {"--tp", "4", "--forward", "--dtype", "f64"},
                              {"--tp", "2", "--dp", "2", "--zero", "1", "--dtype", "bf16"},
                              {"--tp", "2", "--accumulate", "3", "--algorithm", "ring"}};
  const TemporaryFolder folder;
  for (const Arguments& mesh : meshes) {
    CAPTURE(mesh);
    const Ran ran = tplab(and_options(and_options(kTrace, mesh), {"-o", folder / "trace.json"}));
    CHECK(ran.exit_code == 0);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Contains("https://ui.perfetto.dev"));
    const TraceCheck check(file_text(folder / "trace.json"));
    CHECK(check.faults() == std::vector<std::string>{});
    const json table = tplab(and_options(and_options(kTrace, mesh), {"--table", "--json"})).json();
    CHECK(table["good"] == true);
    const std::vector<TraceTotals> totals = check.totals();
    REQUIRE(totals.size() == table["ranks"].size());
    for (size_t r = 0; r < totals.size(); ++r)
      for (const char* side : {"expected", "counted"}) {
        const json& row = table["ranks"][r][side];
        CHECK(row["calls"] == totals[r].calls);
        CHECK(row["payload_bytes"] == totals[r].payload_bytes);
        CHECK(row["wire_bytes"] == totals[r].wire_bytes);
      }
  }
}

TEST_CASE("trace: a checkpoint, and stdout where no file is named") {
  const Ran ran = tplab({"trace", "--checkpoint", fixture("gpt2-tiny"), "--tp", "2", "--seq", "4"});
  CHECK(ran.exit_code == 0);
  CHECK(TraceCheck(ran.out).faults() == std::vector<std::string>{});
}

TEST_CASE("trace --table: the paper's counts, in a text of 80 columns without colour") {
  // Shoeybi et al. 2019: 2 all-reduces a block forward and 2 backward; here 4 blocks, the
  // embedding, the head, and 3 for the loss.
  const Ran ran = tplab(and_options(kTable, {"--tp", "2"}));
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("  blocks 0-3, each\n"));
  CHECK_THAT(ran.out, Contains("counted = expected on all 2 ranks: 22 collectives"));
  for (const Arguments& more : {Arguments{}, {"--sp", "--dp", "2", "--zero", "2"}, {"--unfold"}}) {
    const Ran shown = tplab(and_options(and_options(kTable, {"--tp", "2"}), more));
    CHECK(shown.exit_code == 0);
    std::istringstream lines(shown.out);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
    for (const char c : shown.out) CHECK((c == '\n' || (c >= ' ' && c < '\x7f')));
  }
  CHECK_THAT(tplab(and_options(kTable, {"--tp", "2", "--unfold"})).out, Contains("  block 3\n"));
}

TEST_CASE("trace --table: a model that fits no machine, without numbers") {
  const Ran ran = tplab({"trace", "--table", "--preset", "gpt2-xl", "--tp", "5", "--dp", "12"});
  CHECK(ran.exit_code == 0);
  CHECK_THAT(ran.out, Contains("blocks 0-47, each") && Contains("on all 60 ranks"));
}

TEST_CASE("trace --table --json: every site by phase, expected beside counted") {
  const json doc = tplab(and_options(kTable, {"--tp", "2", "--json"})).json();
  CHECK(doc["tp"] == 2);
  CHECK(doc["batch"] == 2);
  CHECK(doc["seq"] == 64);
  CHECK(doc["disagreement"] == "");
  REQUIRE(doc["sites"].size() == 1 + 2 * 4 + 2 + 1);
  const json& embed = doc["sites"][0];
  CHECK(embed["site"] == "embed");
  CHECK(embed["op"] == "all_reduce");
  // 2 x 64 tokens, 128 wide, 4 bytes each.
  CHECK(embed["forward"]["counted"]["payload_bytes"] == 2 * 64 * 128 * 4);
  CHECK(embed["backward"]["counted"]["calls"] == 0);
  for (const json& site : doc["sites"]) CHECK(site["agrees"] == true);
}

TEST_CASE("trace: what cannot be is refused before the work, and no file is left") {
  const TemporaryFolder folder;
  const auto refused = [&](const Arguments& more, int exit_code, const std::string& why) {
    CAPTURE(more);
    const Ran ran = tplab(and_options(and_options(kTrace, {"-o", folder / "t.json"}), more));
    CHECK(ran.exit_code == exit_code);
    CHECK(ran.out.empty());
    CHECK_THAT(ran.err, Contains(why) && Contains("fix:"));
    CHECK_FALSE(std::filesystem::exists(folder / "t.json"));
    CHECK_FALSE(std::filesystem::exists(folder / "t.json.part"));
  };
  refused({"--tp", "3"}, 2, "tp 3");
  refused({"--dp", "2", "--batch", "3"}, 2, "3 sequences does not divide");
  refused({"--tp", "65"}, 2, "not a whole number from 1 to 64");
  refused({"--dp", "0"}, 2, "--dp: '0'");
  refused({"--zero", "3"}, 2, "ZeRO stage 3");
  refused({"--accumulate", "0"}, 2, "whole number from 1");
  refused({"--forward", "--sp", "--tp", "2"}, 2, "a forward pass alone");
  refused({"--sp-regather", "--tp", "2"}, 2, "add --sp");
  refused({"--unfold"}, 2, "add --table");
  refused({"--batch", "100000000"}, 4, "needs about");
  refused({"--batch", "2147483647", "--table"}, 4, "needs about");
  refused({"--device", "meta"}, 2, "use cpu");
  const Ran long_one = tplab({"trace", "--preset", "nano-cpu", "--seq", "65"});
  CHECK(long_one.exit_code == 2);
  CHECK_THAT(long_one.err, Contains("a sequence of 1 to 64"));
  const Ran nowhere = tplab(and_options(kTrace, {"-o", folder / "absent/t.json"}));
  CHECK(nowhere.exit_code == 2);
  CHECK_THAT(nowhere.err, Contains("cannot be written"));
  if (!has_terminals()) return;
  const Ran on_terminal = tplab(kTrace, {.terminal = true});
  CHECK(on_terminal.exit_code == 2);
  CHECK_THAT(on_terminal.err, Contains("give -o FILE.json"));
}

// Two ranks whose counts are what is expected: two all-reduces of 4 numbers.
std::vector<RankTraffic> two_ranks(Ledger& ledger) {
  RankTraffic rank;
  for (const char* part : {"block 0", "block 1"}) {
    rank.expected.push_back({part, Phase::forward, Axis::tp, Op::all_reduce, 4, 16, 16});
    rank.counted.push_back({.site = ledger.site(ledger.root(), part),
                            .op = Op::all_reduce,
                            .group_size = 2,
                            .elements = 4,
                            .payload_bytes = 16,
                            .wire_bytes = 16});
  }
  return {rank, rank};
}

TEST_CASE("trace --table mutants: exit code 1, naming the first difference and its rank") {
  Ledger ledger;
  const TraceTable good = trace_table(two_ranks(ledger));
  CHECK(good.exit_code() == 0);
  CHECK_NOTHROW(good.require_good());
  CHECK_THAT(good.text("a step", false, false), Contains("counted = expected on all 2 ranks"));

  const auto differs = [&](const std::function<void(std::vector<RankTraffic>&)>& change,
                           const std::string& what) {
    std::vector<RankTraffic> ranks = two_ranks(ledger);
    change(ranks);
    const TraceTable table = trace_table(ranks);
    CHECK(table.exit_code() == 1);
    CHECK_THAT(table.disagreement, Contains(what));
    CHECK_THROWS_WITH(table.require_good(), Contains(what));  // what a picture is refused with
    CHECK_THAT(table.text("a step", false, false),
               Contains("differs: " + what) && !Contains("counted = expected"));
    nlohmann::ordered_json doc;
    table.add_to(doc);
    CHECK(doc["good"] == false);
    return table;
  };
  const TraceTable bytes = differs([](auto& r) { ++r[1].counted[1].wire_bytes; },
                                   "rank 1, collective 1: predicted all_reduce");
  CHECK(bytes.rank == 1);
  CHECK_THAT(bytes.text("a step", false, false),
             Contains("!   all_reduce  1     16 B  1     17 B"));
  differs([](auto& r) { r[0].counted.pop_back(); }, "rank 0, predicted 2 collectives, counted 1");
  differs([](auto& r) { r[0].counted[0].phase = Phase::backward; }, "rank 0, collective 0");
  // Another order is no other sum, and differs too.
  const TraceTable order =
      differs([](auto& r) { std::swap(r[1].counted[0], r[1].counted[1]); }, "rank 1, collective 0");
  for (const SiteTraffic& site : order.sites) CHECK(site.agrees());
}

}  // namespace
}  // namespace tplab
