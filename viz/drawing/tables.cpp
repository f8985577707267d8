#include "viz/drawing/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "sim/text/bytes_text.h"
#include "viz/drawing/fold.h"

namespace tplab {

namespace {

// The collectives of one module, by operation.
struct Traffic {
  std::string name;
  std::map<Op, int64_t> calls;
  int64_t payload_bytes = 0, wire_bytes = 0, ns = 0;
  int64_t count = 1;  // how many alike are folded into this

  void add(const Event& e) {
    ++calls[e.op];
    payload_bytes += e.payload_bytes;
    wire_bytes += e.wire_bytes;
    ns += e.end_ns - e.start_ns;
  }
  bool alike(const Traffic& other) const {
    return calls == other.calls && payload_bytes == other.payload_bytes &&
           wire_bytes == other.wire_bytes;
  }
  std::string calls_text() const {
    std::string text;
    for (const auto& [op, times] : calls)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", times, tplab::name(op));
    return count == 1 ? text : fmt::format("{} x {}", count, text);
  }
};

std::vector<Traffic> by_module(const std::vector<Event>& events) {
  std::vector<Traffic> modules;
  for (const Event& e : events) {
    const std::string path = e.site->path();
    const std::string module = path.substr(0, path.find('/'));
    if (modules.empty() || modules.back().name != module)
      modules.push_back({module, {}, 0, 0, 0, 1});
    modules.back().add(e);
  }
  return modules;
}

// Consecutive blocks that communicate the same become one row, "blocks 0-11".
std::vector<Traffic> fold(std::vector<Traffic> modules) {
  return fold_blocks(
      std::move(modules), [](const Traffic& a, const Traffic& b) { return a.alike(b); },
      [](Traffic& all, const Traffic& one) { all.ns += one.ns; });
}

// "transformer.h.3.attn.c_proj.bias" -> "h.*.attn.c_proj.bias", as narrow tables have room for
std::string short_name(std::string name) {
  constexpr std::string_view kModel = "transformer.", kBlock = "h.";
  if (name.starts_with(kModel)) name.erase(0, kModel.size());
  if (!name.starts_with(kBlock)) return name;
  return std::string(kBlock) + "*" + name.substr(name.find('.', kBlock.size()));
}

std::string in_words(const ShardPlan& plan, const NamedTensor& tensor) {
  if (tensor.fused()) return "rows of its heads in Q, K, V";
  switch (plan.first_row(tensor).split) {
    case Split::whole:
      return "whole, on every rank";
    case Split::rows:
      return "rows (output features)";
    case Split::cols:
      return "columns (input features)";
    case Split::vocab:
      return "rows of the padded vocabulary";
  }
  return "?";
}

}  // namespace

Table ledger_table(const std::vector<Event>& events) {
  using enum Table::Align;
  Table table({{"module"}, {"collectives"}, {"payload", right}, {"sent by rank 0", right}});
  const std::vector<Traffic> modules = by_module(events);
  Traffic total;
  for (const Event& e : events) total.add(e);
  for (const Traffic& t : fold(modules)) {
    const auto n = static_cast<double>(t.count);
    table.row({{t.name},
               {t.calls_text()},
               {bytes_text(n * static_cast<double>(t.payload_bytes))},
               {bytes_text(n * static_cast<double>(t.wire_bytes))}});
  }
  table.row({{"total", Ink::bold},
             {total.calls.empty() ? "none" : total.calls_text(), Ink::bold},
             {bytes_text(total.payload_bytes), Ink::bold},
             {bytes_text(total.wire_bytes), Ink::bold}});
  return table;
}

Table memory_table(const std::vector<MemoryOfRun>& runs) {
  using enum Table::Align;
  Table table({{"tp", right},
               {"dtype"},
               {"rank", right},
               {"weights", right},
               {"of the model", right},
               {"peak of the run", right}});
  for (const MemoryOfRun& run : runs) {
    int64_t whole = 0;
    for (const ParameterRow& row : run.plan.rows()) whole += row.shape.count();
    const auto count = [&](size_t rank) { return run.plan.local_count(static_cast<int>(rank)); };
    for (size_t first = 0, next = 0; first < run.ranks.size(); first = next) {
      const int64_t peak = run.ranks[first].memory.peak_bytes;
      const auto local = static_cast<double>(count(first));
      while (next < run.ranks.size() && run.ranks[next].memory.peak_bytes == peak &&
             count(next) == count(first))
        ++next;
      table.row({{fmt::format("{}", run.plan.tp())},
                 {std::string(name(run.dtype))},
                 {next == first + 1 ? fmt::format("{}", first)
                                    : fmt::format("{}-{}, each", first, next - 1)},
                 {bytes_text(local * static_cast<double>(size_bytes(run.dtype)))},
                 {fmt::format("{:.1f} %", 100 * local / static_cast<double>(whole))},
                 {bytes_text(peak)}});
    }
  }
  return table;
}

Table shard_table(const ShardPlan& plan, DType dtype) {
  using enum Table::Align;
  const bool even = plan.even();
  Table table({{"parameter"},
               {"count", right},
               {"global shape", right},
               {"split"},
               {even ? "a rank holds" : "rank 0 holds", right},
               {even ? "bytes a rank" : "its bytes", right}});
  std::map<std::string, int64_t> layers;
  for (const NamedTensor& tensor : plan.tensors()) ++layers[short_name(tensor.name)];
  for (const NamedTensor& tensor : plan.tensors()) {
    const std::string folded = short_name(tensor.name);
    if (layers[folded] == 0) continue;  // shown already
    const int64_t count = std::exchange(layers[folded], 0);
    const Shape local = plan.local_shape(tensor, 0);
    const int64_t bytes = local.count() * size_bytes(dtype) * count;
    table.row({{folded},
               {fmt::format("{}", count)},
               {tensor.shape.text()},
               {in_words(plan, tensor)},
               {local.text()},
               {bytes_text(bytes)}});
  }
  const int64_t total = plan.local_count(0) * size_bytes(dtype);
  table.row({{"total", Ink::bold}, {}, {}, {}, {}, {bytes_text(total), Ink::bold}});
  return table;
}

}  // namespace tplab
