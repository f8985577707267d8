// tplab bench attention: causal attention alone, forward and backward, on one rank.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/bench.h"
#include "sim/error.h"
#include "sim/ops/list.h"
#include "sim/random.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

struct AttentionTimes {
  Timing forward, backward;
};

struct AttentionBench {
  MachineChoice machine;
  Output output;
  std::string dtype = "f32";
  int64_t batch = 4, seq = 2048, heads = 12, kv_heads = 0, head_size = 64, repeat = 10;
  uint64_t seed = 1337;

  void run();
  AttentionTimes measure(Rank& rank) const;
  // Two products of the causal half; backward five, one of which is the forward's over again.
  double forward_flops() const {
    const auto half = static_cast<double>(batch * heads * seq) * static_cast<double>(seq + 1) / 2;
    return 4 * half * static_cast<double>(head_size);
  }
  double backward_flops() const { return 2.5 * forward_flops(); }
  Array random(Rank& rank, const Shape& shape, const std::string& what) const;
};

Array AttentionBench::random(Rank& rank, const Shape& shape, const std::string& what) const {
  Array x = rank.device().allocate(parse_dtype(dtype), shape);
  const RandomStream stream(seed, "bench attention/" + what);
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    std::vector<Real> numbers(static_cast<size_t>(x.count()));
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<Real>(static_cast<float>(2 * stream.uniform(i) - 1));
    rank.device().upload({x.dtype(), numbers.data(), x.count()}, x);
  });
  return x;
}

// Seconds a call: batches of as many calls as fill 20 ms, each awaited.
Timing timed_calls(Rank& rank, int64_t repeat, const std::function<void()>& call) {
  constexpr double kBatchSeconds = 0.02;
  const auto seconds_of_one = [&](int64_t calls) {
    const double seconds = seconds_of(rank, [&] {
      for (int64_t i = 0; i < calls; ++i) call();
    });
    return seconds / static_cast<double>(calls);
  };
  seconds_of_one(1);
  const double once = seconds_of_one(1);
  const auto calls =
      std::clamp(static_cast<int64_t>(kBatchSeconds / once), int64_t{1}, int64_t{1000});
  Timing timing;
  for (int64_t i = 0; i < repeat; ++i) timing.add(seconds_of_one(calls));
  return timing;
}

AttentionTimes AttentionBench::measure(Rank& rank) const {
  const AttentionForm form{
      .heads = heads, .kv_heads = kv_heads, .scale = 1 / std::sqrt(static_cast<double>(head_size))};
  Device& device = rank.device();
  const DType type = parse_dtype(dtype);
  const Array qkv = random(rank, {batch, seq, (heads + 2 * kv_heads) * head_size}, "qkv");
  const Array dy = random(rank, {batch, seq, heads * head_size}, "dy");
  Array y = device.allocate(type, dy.shape()), dqkv = device.allocate(type, qkv.shape());
  Array stats = device.allocate(accumulator(type), {batch, heads, seq, 2});
  AttentionTimes times;
  times.forward = timed_calls(rank, repeat, [&] {
    device.run(op::CausalAttention{form, qkv, {}, y, stats});
  });
  times.backward = timed_calls(rank, repeat, [&] {
    device.run(op::CausalAttentionBackward{form, qkv, {}, y, stats, dy, dqkv, {}});
  });
  return times;
}

void AttentionBench::run() {
  output.open();
  if (kv_heads == 0) kv_heads = heads;
  if (heads % kv_heads != 0)
    fail(fmt::format("--heads {} is no multiple of --kv-heads {}", heads, kv_heads),
         "use a divisor of --heads");
  const double numbers = static_cast<double>(batch * seq) *
                         static_cast<double>((6 * heads + 8 * kv_heads) * head_size);
  require_memory("attention of that size",
                 numbers * static_cast<double>(size_bytes(parse_dtype(dtype))),
                 "use fewer or shorter sequences: --batch, --seq");
  World world({.device = machine.device});
  const AttentionTimes times = world.run([&](Rank& rank) { return measure(rank); }).results[0];
  struct Row {
    const char* name;
    const Timing& timing;
    double flops;
  };
  const Row rows[] = {{"forward", times.forward, forward_flops()},
                      {"backward", times.backward, backward_flops()}};
  if (output.json()) {
    nlohmann::ordered_json doc = {
        {"schema", 1},          {"bench", "attention"},
        {"dtype", dtype},       {"batch", batch},
        {"seq", seq},           {"heads", heads},
        {"kv_heads", kv_heads}, {"head_size", head_size},
        {"repeat", repeat},     {"runs", nlohmann::ordered_json::array()}};
    for (const Row& row : rows)
      doc["runs"].push_back({{"name", row.name},
                             {"best_seconds", row.timing.best()},
                             {"median_seconds", row.timing.median()},
                             {"flops", row.flops},
                             {"flops_per_second", row.flops / row.timing.median()}});
    output.document(doc);
  } else {
    using enum Table::Align;
    Table table({{""}, {"best ms", right}, {"median ms", right}, {"TFLOP/s", right}});
    for (const Row& row : rows)
      table.row({{row.name},
                 {fmt::format("{:.3f}", row.timing.best() * 1e3)},
                 {fmt::format("{:.3f}", row.timing.median() * 1e3)},
                 {fmt::format("{:.3f}", row.flops / row.timing.median() * 1e-12)}});
    output.text(fmt::format("attention: {} x {} positions, {} heads of {} ({} of keys), {}\n",
                            batch, seq, heads, head_size, kv_heads, dtype) +
                table.text(output.colour()));
  }
  output.close();
}

}  // namespace

void add_bench_attention(CLI::App& bench) {
  auto command = std::make_shared<AttentionBench>();
  CLI::App* sub = bench.add_subcommand("attention", "Causal attention alone, forward and backward");
  sub->footer(R"(Examples:
  tplab bench attention --dtype bf16 --device cuda
  tplab bench attention --batch 1 --seq 512 --heads 32 --kv-heads 8 --head-size 128 --json
FLOPs are those of the causal half: two products forward, five backward, one of which is the
forward's over again.)");
  add_dtype(*sub, command->dtype);
  const auto number = [&](const char* name, int64_t& value, const char* what) {
    sub->add_option(name, value, what)->check(whole_number(1))->capture_default_str();
  };
  number("--batch", command->batch, "sequences");
  number("--seq", command->seq, "positions of each");
  number("--heads", command->heads, "heads of queries");
  sub->add_option("--kv-heads", command->kv_heads, "heads of keys and values (as many)")
      ->check(whole_number(1));
  number("--head-size", command->head_size, "numbers of a head");
  number("--repeat", command->repeat, "batches of calls that are timed");
  add_seed(*sub, command->seed);
  command->machine.add_device(*sub);
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
