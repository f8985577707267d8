// Traces: the same run twice is the same, and the first thing that is not is named.
#include "verify/run_trace.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/comm_breakage.h"
#include "tests/model/checkpoint_files.h"
#include "tests/verify/small_training.h"
#include "verify/trace_file.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

VerifyOptions forward_of(const std::vector<int>& tps) {
  VerifyOptions options;
  options.meshes = forward_meshes(tps);
  options.batches = {small_batch(0)};
  options.trace.seed = 11;
  return options;
}

VerifyOptions training_of(const Parallelism& mesh) {
  VerifyOptions options = small_options({mesh}, 2);
  options.trace.seed = 11;
  return options;
}

// Both options without and with what `change` does to them, the first traced, the second compared.
Report compared(const TempFolder& folder, VerifyOptions options,
                const std::function<void(VerifyOptions&)>& change = {}) {
  const auto source = small_weights();
  options.trace.to = folder.path("trace.jsonl");
  (void)verify(*source, options);
  options.trace.against = std::exchange(options.trace.to, "");
  if (change) change(options);
  return verify(*source, options);
}

void check_same(const Report& report) {
  check_good(report);
  REQUIRE(report.trace);
  CHECK(report.trace->runs == std::ssize(report.runs));
  CHECK(report.trace->entries > 100);
  CHECK(report.trace->values > 10);
  CHECK(report.trace->why_no_values == "");
  INFO((report.trace->difference ? report.trace->difference->ours : ""));
  CHECK(!report.trace->difference);
}

// One rank's term of a sum at this site, in f64, is a little larger than it is: less than any bound
// of the verifier's sees, and more than rounding of the sum hides.
CommBreakage nudged(const std::string& site, int which) {
  return {.before = [=](Rank& rank, const Post& call) {
    if (call.op != Op::all_reduce || call.site->path() != site || rank.index() != which) return;
    auto* const values = static_cast<double*>(const_cast<void*>(call.in));
    for (int64_t i = 0; i < call.elements; ++i) values[i] *= 1 + 0x1p-50;
  }};
}

RunTrace made_up_trace() {
  const auto rank = [](uint64_t bits) {
    return std::vector<TraceEntry>{{"", "embedding", 64, DType::f32},
                                   {"block 0/attn", "all_reduce", 64, DType::f32, bits},
                                   {"block 0/attn/proj", "shown", 64, DType::f32, bits},
                                   {"", "barrier", 0, DType::f32}};
  };
  return {.of = {.source = "initial weights, seed 1",
                 .weights = 0xfedcba9876543210u,
                 .tokens = 7,
                 .seed = std::numeric_limits<uint64_t>::max(),
                 .backward = true,
                 .steps = 2,
                 .batch = 4,
                 .seq = 8,
                 .algorithm = "ring",
                 .device = "cpu",
                 .comm = "threads",
                 .build = "g++"},
          .runs = {{"tp 2, dp 1, f32", {rank(1), rank(1)}}, {"tp 1, dp 1, f32", {rank(0)}}}};
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string text_of(const RunTrace& trace) {
  const TempFolder folder;
  TraceWriter(folder.path("a")).commit(trace);
  return file_text(folder.path("a"));
}

RunTrace read_text(const std::string& text) {
  return read_trace(*bytes_in_memory(text, "a.jsonl"));
}

void refused_file(const std::string& text, const std::string& problem) {
  INFO(text.substr(0, 200));
  try {
    (void)read_text(text);
    FAIL("it was taken");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_file);
    CHECK_THAT(error.problem(), Catch::Contains("a.jsonl") && Catch::Contains(problem));
  }
}

void refused_question(const std::function<void(Traced&)>& change, const std::string& problem) {
  const Traced theirs = made_up_trace().of;
  Traced ours = theirs;
  change(ours);
  try {
    require_same_question("a.jsonl", theirs, ours);
    FAIL("it was taken");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    CHECK_THAT(error.problem(), Catch::Contains("a.jsonl") && Catch::Contains(problem));
  }
}

}  // namespace

TEST_CASE("trace: a forward pass that is run again does the same, to the bit") {
  const TempFolder folder;
  check_same(compared(folder, forward_of({1, 2, 4})));
  // Some of the runs, as of a launcher that starts two processes.
  VerifyOptions some = forward_of({2});
  some.trace.against = folder.path("trace.jsonl");
  some.dtypes = {DType::f64};
  check_same(verify(*small_weights(), some));
}

TEST_CASE("trace: gradients and steps that are run again do the same, to the bit") {
  for (const Parallelism& mesh :
       {Parallelism{.tp = 2, .dp = 2, .sp = true, .regather = true, .zero = Zero::gradients},
        Parallelism{.tp = 2, .recompute = true}, Parallelism{.dp = 2, .zero = Zero::states}}) {
    const TempFolder folder;
    check_same(compared(folder, training_of(mesh)));
  }
}

TEST_CASE("trace: a value that differs by less than any bound is named, and where it came in") {
  const TempFolder folder;
  const Report report = compared(folder, forward_of({2}), [](VerifyOptions& options) {
    options.breakage.comm = nudged("block 1/attn", 1);
    options.dtypes = {DType::f64};
  });
  CHECK(report.runs.at(0).good());  // against the reference
  CHECK_FALSE(report.good());
  REQUIRE(report.trace->difference);
  const TraceDifference& d = *report.trace->difference;
  CHECK(d.run == "tp 2, dp 1, f64");
  CHECK(d.rank == 0);  // every rank has the sum: the lowest of them
  CHECK(d.site == "block 1/attn");
  CHECK(d.in_values);
  CHECK(d.ours == "all_reduce of 1024 f64 at block 1/attn");
  CHECK(d.ours == d.theirs);
  CHECK(report.trace->entries >= 2 * (d.number - 1));
}

TEST_CASE("trace: a collective that breaks on one rank is named with that rank") {
  const TempFolder folder;
  const Report report = compared(folder, forward_of({4}), [](VerifyOptions& options) {
    options.dtypes = {DType::f64};
    options.breakage.comm.move = [](Transport& honest, Rank& rank, const Post& call,
                                    const Array& in, Array& out) {
      const int64_t bytes = honest.move(call, in, out);
      if (call.site->path() == "block 0/mlp" && rank.index() == 2) out.as<double>()[5] += 1;
      return bytes;
    };
  });
  REQUIRE(report.trace->difference);
  CHECK(report.trace->difference->rank == 2);
  CHECK(report.trace->difference->site == "block 0/mlp");
  CHECK(report.trace->difference->in_values);
}

TEST_CASE("trace: a step whose values differ is named, of the replica whose they are") {
  const TempFolder folder;
  const Report report = compared(folder, training_of({.dp = 2}), [](VerifyOptions& options) {
    options.dtypes = {DType::f64};
    options.breakage.comm.move = [](Transport& honest, Rank& rank, const Post& call,
                                    const Array& in, Array& out) {
      const int64_t bytes = honest.move(call, in, out);
      if (call.axis == Axis::dp && call.elements > 1000 && rank.dp_index() == 1)
        out.as<double>()[0] += 0x1p-40;
      return bytes;
    };
  });
  REQUIRE(report.trace->difference);
  CHECK(report.trace->difference->rank == 1);
  CHECK_THAT(report.trace->difference->ours, Catch::Contains("all_reduce over dp of"));
}

TEST_CASE("trace: of another question it is refused, and what differs is said") {
  refused_question([](Traced& t) { t.backward = false; }, "--backward (here: a forward pass)");
  refused_question([](Traced& t) { t.steps = 3; }, "--steps 2 (here: 3)");
  refused_question([](Traced& t) { t.batch = 3; }, "--batch 4 (here: 3)");
  refused_question([](Traced& t) { t.seq = 3; }, "--seq 8 (here: 3)");
  refused_question([](Traced& t) { t.algorithm = "tree"; }, "--algorithm ring (here: tree)");
  refused_question([](Traced& t) { t.seed = 3; }, "(here: 3)");
  refused_question([](Traced& t) { t.tokens = 3; }, "other tokens");
  refused_question([](Traced& t) { t.weights = 3; }, "other weights, called initial weights");
  const auto another = [](Traced& t) {
    t.weights = 3;
    t.source = "ckpt.pt";
    t.steps = 0;
  };
  refused_question(another, "--steps 2 (here: 0), initial weights, seed 1 (here: ckpt.pt)");
  const Traced of = made_up_trace().of;
  Traced elsewhere = of;
  elsewhere.device = "cuda", elsewhere.comm = "mpi", elsewhere.build = "clang";
  CHECK_NOTHROW(require_same_question("a.jsonl", of, elsewhere));

  const RunTrace file = made_up_trace();
  CHECK_NOTHROW(require_runs("a.jsonl", file, {{"tp 1, dp 1, f32", {}}}));
  CHECK_THROWS_WITH(require_runs("a.jsonl", file, {{"tp 4, dp 1, f32", {}}}),
                    Catch::Contains("a.jsonl: the trace has no run of (tp 4, dp 1, f32), but of "
                                    "(tp 2, dp 1, f32), (tp 1, dp 1, f32)"));
}

TEST_CASE("trace: another tp, seed or algorithm is refused before anything runs") {
  const TempFolder folder;
  const auto run = [&](const std::function<void(VerifyOptions&)>& change) {
    return [&folder, change] {
      (void)compared(folder, forward_of({1, 2}), [&](VerifyOptions& options) {
        change(options);
        options.breakage.comm.before = [](Rank&, const Post&) { FAIL("it ran"); };
      });
    };
  };
  const auto other_tp = run([](VerifyOptions& o) { o.meshes = forward_meshes({2, 4}); });
  CHECK_THROWS_WITH(other_tp(), Catch::Contains("no run of (tp 4, dp 1, f64)"));
  const auto ring = run([](VerifyOptions& o) { o.algorithm = Algorithm::ring; });
  CHECK_THROWS_WITH(ring(), Catch::Contains("--algorithm direct (here: ring)"));
  const auto seed = run([](VerifyOptions& o) { o.trace.seed = 12; });
  CHECK_THROWS_WITH(seed(), Catch::Contains("--seed 11 (here: 12)"));
  const auto tokens = run([](VerifyOptions& o) { o.batches = {small_batch(1)}; });
  CHECK_THROWS_WITH(tokens(), Catch::Contains("other tokens"));
}

TEST_CASE("trace: what differs first is of the lowest number, and of that the lowest rank") {
  const RunTrace file = made_up_trace();
  const auto difference = [&](const std::function<void(RunTrace&)>& change) {
    RunTrace ours = file;
    change(ours);
    const auto found = compare_traces("a.jsonl", file, ours).difference;
    REQUIRE(found);
    return *found;
  };
  auto d = difference([](RunTrace& t) {
    t.runs[0].ranks[0][2].bits = 2;
    t.runs[0].ranks[1][1].elements = 65;
  });
  CHECK((d.rank == 1 && d.number == 2 && !d.in_values && d.site == "block 0/attn"));
  CHECK(d.ours == "all_reduce of 65 f32 at block 0/attn");
  CHECK(d.theirs == "all_reduce of 64 f32 at block 0/attn");
  d = difference([](RunTrace& t) {
    for (auto& rank : t.runs[0].ranks) rank[2].bits = 2;
  });
  CHECK((d.run == "tp 2, dp 1, f32" && d.rank == 0 && d.number == 3 && d.in_values));
  d = difference([](RunTrace& t) { t.runs[1].ranks[0].pop_back(); });
  CHECK((d.run == "tp 1, dp 1, f32" && d.number == 4));
  CHECK(d.ours == "nothing more");
  CHECK(d.theirs == "barrier");
  d = difference([](RunTrace& t) { t.runs[1].ranks[0].push_back({"x", "linear", 2, DType::i32}); });
  CHECK((d.number == 5 && d.site == "x" && d.theirs == "nothing more"));
  d = difference([](RunTrace& t) { t.runs[0].ranks[1][0].dtype = DType::f64; });
  CHECK((d.number == 1 && d.ours == "embedding of 64 f64"));
  d = difference([](RunTrace& t) { t.runs[0].ranks[1][1].bits.reset(); });
  CHECK(d.number == 2);
}

TEST_CASE("trace: values are compared where one device, one build and one order promise the bits") {
  const RunTrace file = made_up_trace();
  RunTrace ours = file;
  for (auto& rank : ours.runs[0].ranks) rank[1].bits = 99;
  const auto compare = [&](const std::string& device, const std::string& comm,
                           const std::string& build, const std::string& algorithm) {
    RunTrace theirs = file;
    theirs.of.algorithm = ours.of.algorithm = algorithm;
    ours.of.device = device, ours.of.comm = comm, ours.of.build = build;
    const TraceComparison c = compare_traces("a.jsonl", theirs, ours);
    CHECK(c.why_no_values.empty() == c.difference.has_value());
    CHECK((c.values > 0) == c.why_no_values.empty());
    return c.why_no_values;
  };
  CHECK(compare("cpu", "threads", "g++", "ring").empty());
  CHECK(compare("cpu", "mpi", "g++", "ring").empty());
  CHECK(compare("cpu", "nccl", "g++", "gather").empty());
  CHECK_THAT(compare("cpu", "nccl", "g++", "ring"), Catch::Contains("nccl"));
  CHECK_THAT(compare("cuda", "threads", "g++", "ring"), Catch::Contains("cpu and cuda"));
  CHECK_THAT(compare("cpu", "threads", "clang", "ring"), Catch::Contains("builds differ"));
}

TEST_CASE("trace: hashes tell bits apart: signs of zeros, NaNs, order, length") {
  const auto hash = [](const std::vector<double>& v) {
    return hash_of_bits(bytes_of(std::span<const double>(v)));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(hash({0.0}) != hash({-0.0}));
  CHECK(hash({1, 2}) != hash({2, 1}));
  CHECK(hash({1, 2}) != hash({-1, -2}));
  CHECK(hash({0}) != hash({0, 0}));
  CHECK(hash({nan}) == hash({nan}));
  CHECK(hash({nan}) != hash({-nan}));
  // Of another library, files could not be compared.
  CHECK(hash_of_bits("tplab") == 0x157bd0bb8a7a587du);
}

TEST_CASE("trace file: what was written is read") {
  const RunTrace trace = made_up_trace();
  const std::string text = text_of(trace);
  const RunTrace again = read_text(text);
  CHECK(again.of.seed == trace.of.seed);
  CHECK(again.of.weights == trace.of.weights);
  CHECK(again.of.build == trace.of.build);
  CHECK_NOTHROW(require_same_question("a", trace.of, again.of));
  REQUIRE(again.runs.size() == 2);
  CHECK(again.runs[0].ranks.size() == 2);
  const TraceComparison same = compare_traces("a", trace, again);
  CHECK(same.good());
  CHECK(same.entries == 12);
  CHECK(same.values == 6);
  CHECK(text_of(again) == text);
}

TEST_CASE("trace file: cut short anywhere, or of another kind, is refused and named") {
  const std::string text = text_of(made_up_trace());
  for (size_t size = 0; size < text.size(); ++size) {
    INFO(size);
    CHECK_THROWS_AS(read_text(text.substr(0, size)), Error);
  }
  refused_file(text.substr(0, text.size() - 1), "the trace is cut short here");
  refused_file(text.substr(0, text.rfind('\n', text.size() - 2) + 1),
               "the trace is cut short here");
  refused_file(text + "\n", "there is more after this, its end");
  refused_file("", "empty");
  refused_file("{\"schema\": \"tplab/verify/1\"}\n", "not a trace");
  refused_file(std::string("PK\x03\x04", 4), "not JSON");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    return changed.replace(changed.find(from), from.size(), to);
  };
  refused_file(with("\"rank\":1", "\"rank\":2"), "line 7: ranks are not in order");
  refused_file(with("\"entries\":4", "\"entries\":3"), "line 6: not a JSON object");
  refused_file(with("\"entries\":4", "\"entries\":-4"), "line 2: a rank with -4 entries");
  refused_file(with("\"entries\":4", "\"entries\":1e300"),
               "\"entries\" is not what a trace has there");
  refused_file(with("64,\"f32\"", "64,\"f16\""), "line 3: 'f16' is no dtype");
  refused_file(with("64,\"f32\"", "-64,\"f32\""), "no entry of a trace");
  refused_file(with("0000000000000001", "000000000000001"), "is no hash");
  refused_file(with("\"lines\":17", "\"lines\":16"), "it lacks lines before this one");
}

TEST_CASE("trace file: an unwritable one is refused before the run, and a failed run leaves none") {
  const TempFolder folder;
  VerifyOptions options = forward_of({1});
  options.trace.to = folder.path("none/trace.jsonl");
  CHECK_THROWS_WITH(verify(*small_weights(), options),
                    Catch::Contains("the trace could not be written"));
  folder.write("trace.jsonl", "older");
  { const TraceWriter writer(folder.path("trace.jsonl")); }
  CHECK(file_text(folder.path("trace.jsonl")) == "older");
  CHECK_FALSE(fs::exists(folder.path("trace.jsonl.part")));
  CHECK_THROWS_AS(TraceWriter(folder.path()), Error);  // a folder
}
