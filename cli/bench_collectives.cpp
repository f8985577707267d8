// tplab bench collectives: each operation and algorithm by size, beside copying the same bytes.
#include <fmt/format.h>

#include <algorithm>

#include "cli/bench.h"
#include "cli/nearest.h"
#include "sim/algorithms/table.h"
#include "sim/error.h"
#include "sim/machine/rank_numbers.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

// What one rank passes to a collective.   whole, other: [n k]   part: [k]
struct Buffers {
  Array whole, other, part;
};

// One collective. The size of a call is that of the whole tensor, as in nccl-tests; its bus
// bandwidth is size / time * bus_factor, which on a ring is what each link carries.
//   source: nccl-tests, doc/PERFORMANCE.md
struct CollectiveRow {
  Op op;
  double (*bus_factor)(double n);
  void (*call)(Comm& comm, Buffers& b);
};

constexpr CollectiveRow kCollectives[] = {
    {Op::all_reduce, [](double n) { return 2 * (n - 1) / n; },
     [](Comm& comm, Buffers& b) { comm.all_reduce(b.whole); }},
    {Op::all_gather, [](double n) { return (n - 1) / n; },
     [](Comm& comm, Buffers& b) { comm.all_gather(b.part, b.whole); }},
    {Op::reduce_scatter, [](double n) { return (n - 1) / n; },
     [](Comm& comm, Buffers& b) { comm.reduce_scatter(b.whole, b.part); }},
    {Op::broadcast, [](double) { return 1.0; },
     [](Comm& comm, Buffers& b) { comm.broadcast(b.whole, 0); }},
    {Op::all_to_all, [](double n) { return (n - 1) / n; },
     [](Comm& comm, Buffers& b) { comm.all_to_all(b.whole, b.other); }},
};

const CollectiveRow& find_collective(const std::string& text) {
  std::string names;
  for (const CollectiveRow& row : kCollectives) {
    if (name(row.op) == text) return row;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name(row.op));
  }
  fail(fmt::format("there is no collective named '{}'", text), "use one of " + names);
}

struct Timings {
  Timing call, copy;
};

struct Sample : Timings {
  int tp;
  Algorithm algorithm;
  int64_t bytes, count;
  double algorithm_bandwidth() const { return static_cast<double>(bytes) / call.best(); }
  double of_copy() const { return copy.best() / call.best(); }
};

struct CollectivesBench {
  MachineChoice machine;
  Output output;
  std::vector<int> tps = {2};
  std::string op = "all_reduce", algorithm, dtype = "f32";
  uint64_t min_bytes = 4 << 10, max_bytes = 16 << 20;
  int64_t repeat = 20;

  void run();
  void check_options() const;
  std::vector<Algorithm> algorithms() const;
  std::vector<int64_t> sizes() const;
  std::vector<Sample> measure_all(const CollectiveRow& row) const;
  std::string text(const std::vector<Sample>& samples, const CollectiveRow& row) const;
  nlohmann::ordered_json json(const std::vector<Sample>& samples, const CollectiveRow& row) const;
};

// Those that have a way of their own to run this operation; a name in brackets says "as that one".
std::vector<Algorithm> CollectivesBench::algorithms() const {
  if (!algorithm.empty()) return {parse_algorithm(algorithm)};
  std::vector<Algorithm> list;
  for (const AlgorithmRow& row : algorithm_table())
    if (row.op == find_collective(op).op && !row.name.starts_with('('))
      list.push_back(row.algorithm);
  return list;
}

std::vector<int64_t> CollectivesBench::sizes() const {
  std::vector<int64_t> list;
  for (uint64_t bytes = min_bytes; bytes <= max_bytes; bytes *= 4)
    list.push_back(static_cast<int64_t>(bytes));
  return list;
}

void CollectivesBench::check_options() const {
  constexpr uint64_t kMost = uint64_t{1} << 32;
  for (int tp : tps) {
    if (tp == 1) fail("one rank has nobody to talk to", "use --tp with 2 or more");
    check_world(
        {.tp = tp, .device = machine.device, .comm = machine.comm, .timeout_s = machine.timeout_s});
  }
  if (min_bytes < 1024 || max_bytes < min_bytes || max_bytes > kMost)
    fail(fmt::format("sizes from {} to {} bytes make no series", min_bytes, max_bytes),
         "use --min of at least 1K and --max from there to 4G");
  const double ranks = *std::max_element(tps.begin(), tps.end());
  require_memory(fmt::format("{} ranks with tensors of {}", ranks, bytes_text(max_bytes)),
                 static_cast<double>(max_bytes) * (2 * ranks + 1),
                 "use fewer ranks, or less --max");
}

// Seconds a call on this rank, of a batch of calls between two barriers.
double batch_seconds(Rank& rank, int64_t calls, const std::function<void()>& work) {
  rank.ledger().clear();
  rank.comm().barrier();
  const double seconds = seconds_of(rank, [&] {
    for (int64_t i = 0; i < calls; ++i) work();
  });
  rank.comm().barrier();
  return seconds / static_cast<double>(calls);
}

// This rank's timings of `work`, which all ranks do at once: batches of as many calls as fill two
// milliseconds.
Timing timed(Rank& rank, int64_t repeat, const std::function<void()>& work) {
  constexpr double kBatchSeconds = 2e-3;
  constexpr int64_t kMostCalls = 10000;
  const double once = from_rank_0(rank, batch_seconds(rank, 3, work));
  const auto calls = std::clamp(static_cast<int64_t>(kBatchSeconds / once), int64_t{1}, kMostCalls);
  Timing timing;
  for (int64_t i = 0; i < repeat; ++i) timing.add(batch_seconds(rank, calls, work));
  return timing;
}

// A batch took as long as its slowest rank.
Timing slowest(const std::vector<const Timing*>& of_ranks) {
  Timing timing;
  for (size_t i = 0; i < of_ranks[0]->count(); ++i) {
    double seconds = 0;
    for (const Timing* one : of_ranks) seconds = std::max(seconds, one->seconds()[i]);
    timing.add(seconds);
  }
  return timing;
}

Array zeros(Rank& rank, DType dtype, int64_t count) {
  Array x = rank.device().allocate(dtype, {count});
  rank.device().zero(x);
  return x;
}

Timings measure(Rank& rank, const CollectiveRow& row, int64_t repeat, DType dtype, int64_t count) {
  Buffers b{zeros(rank, dtype, count), zeros(rank, dtype, count),
            zeros(rank, dtype, count / rank.size())};
  Timings timings;
  timings.call = timed(rank, repeat, [&] { row.call(rank.comm(), b); });
  timings.copy = timed(
      rank, repeat, [&] { rank.device().copy(b.whole.data(), b.other.data(), b.whole.bytes()); });
  return timings;
}

std::vector<Sample> CollectivesBench::measure_all(const CollectiveRow& row) const {
  const DType type = parse_dtype(dtype);
  std::vector<Sample> samples;
  for (int tp : tps)
    for (Algorithm one : algorithms())
      for (int64_t bytes : sizes()) {
        const int64_t count = bytes / size_bytes(type) / tp * tp;  // equal parts
        samples.push_back({{}, tp, one, count * size_bytes(type), count});
      }
  Progress progress;
  size_t done = 0;
  while (done < samples.size()) {
    const Sample& first = samples[done];
    World world({.tp = first.tp,
                 .device = machine.device,
                 .comm = machine.comm,
                 .algorithm = first.algorithm,
                 .timeout_s = machine.timeout_s});
    const size_t sizes_of_world = sizes().size();
    const auto [results, records] = world.run([&](Rank& rank) {
      std::vector<Timings> timings;
      timings.reserve(sizes_of_world);
      for (size_t i = done; i < done + sizes_of_world; ++i) {
        if (rank.index() == 0)
          progress.show(fmt::format("tp {}, {}", first.tp, name(first.algorithm)),
                        static_cast<double>(i) / static_cast<double>(samples.size()));
        timings.push_back(measure(rank, row, repeat, type, samples[i].count));
      }
      return timings;
    });
    for (size_t i = 0; i < sizes_of_world; ++i)
      for (Timing Timings::*what : {&Timings::call, &Timings::copy}) {
        std::vector<const Timing*> of_ranks;
        of_ranks.reserve(results.size());
        for (const std::vector<Timings>& rank : results) of_ranks.push_back(&(rank[i].*what));
        samples[done + i].*what = slowest(of_ranks);
      }
    done += sizes_of_world;
  }
  return samples;
}

// A table for each tp and algorithm, so that it fits 60 columns.
std::string CollectivesBench::text(const std::vector<Sample>& samples,
                                   const CollectiveRow& row) const {
  using enum Table::Align;
  std::string text;
  for (size_t first = 0; first < samples.size(); first += sizes().size()) {
    Table table({{"size", right},
                 {"best us", right},
                 {"median us", right},
                 {"busbw GB/s", right},
                 {"copy us", right},
                 {"of copy", right}});
    for (size_t i = first; i < first + sizes().size(); ++i) {
      const Sample& s = samples[i];
      table.row({{bytes_text(s.bytes)},
                 {fmt::format("{:.2f}", s.call.best() * 1e6)},
                 {fmt::format("{:.2f}", s.call.median() * 1e6)},
                 {fmt::format("{:.2f}", s.algorithm_bandwidth() * row.bus_factor(s.tp) * 1e-9)},
                 {fmt::format("{:.2f}", s.copy.best() * 1e6)},
                 {fmt::format("{:.0f} %", 100 * s.of_copy())}});
    }
    const Sample& one = samples[first];
    text += fmt::format("{}{} of {}, tp {}, {}, by {}\n", first > 0 ? "\n" : "", name(row.op),
                        dtype, one.tp, find_algorithm(row.op, one.algorithm).name, machine.comm) +
            table.text(output.colour());
  }
  if (repeat < 5)
    text += fmt::format("only {} batch{} of calls a row: raise --repeat\n", repeat,
                        repeat == 1 ? "" : "es");
  return text;
}

nlohmann::ordered_json CollectivesBench::json(const std::vector<Sample>& samples,
                                              const CollectiveRow& row) const {
  nlohmann::ordered_json doc = {{"schema", 1},        {"bench", "collectives"},
                                {"op", name(row.op)}, {"dtype", dtype},
                                {"repeat", repeat},   {"runs", nlohmann::ordered_json::array()}};
  for (const Sample& s : samples)
    doc["runs"].push_back({{"tp", s.tp},
                           {"algorithm", name(s.algorithm)},
                           {"what_runs", find_algorithm(row.op, s.algorithm).name},
                           {"bytes", s.bytes},
                           {"count", s.count},
                           {"best_us", s.call.best() * 1e6},
                           {"median_us", s.call.median() * 1e6},
                           {"algorithm_bytes_per_second", s.algorithm_bandwidth()},
                           {"bus_bytes_per_second", s.algorithm_bandwidth() * row.bus_factor(s.tp)},
                           {"copy_best_us", s.copy.best() * 1e6},
                           {"copy_median_us", s.copy.median() * 1e6},
                           {"of_copy", s.of_copy()}});
  return doc;
}

void CollectivesBench::run() {
  output.open();
  machine.spread(tps);
  const CollectiveRow& row = find_collective(op);
  check_options();
  const std::vector<Sample> samples = measure_all(row);
  if (output.json())
    output.document(json(samples, row));
  else
    output.text(text(samples, row));
  output.close();
}

}  // namespace

void add_bench_collectives(CLI::App& bench) {
  auto command = std::make_shared<CollectivesBench>();
  CLI::App* sub = bench.add_subcommand("collectives", "Collectives by size, against copying");
  sub->footer(R"(Examples:
  tplab bench collectives
  tplab bench collectives --tp 2,4 --op all_gather --algorithm ring --min 64K --max 64M
size is of the whole tensor; bus bandwidth is nccl-tests'. "copy": every rank copies a tensor of that
size at the same time.)");
  add_tps(*sub, command->tps);
  one_of(sub->add_option("--op", command->op, "the collective"), op_words())->capture_default_str();
  one_of(sub->add_option("--algorithm", command->algorithm, "its algorithm (all of them)"),
         algorithm_words());
  add_dtype(*sub, command->dtype);
  sub->add_option("--min", command->min_bytes, "smallest size; each is 4 times the one before (4K)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
  sub->add_option("--max", command->max_bytes, "largest size (16M)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
  sub->add_option("--repeat", command->repeat, "batches of calls that are timed")
      ->check(whole_number(1))
      ->capture_default_str();
  command->machine.add_options(*sub);
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
