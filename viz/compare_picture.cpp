#include "viz/compare_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/algorithms.h"
#include "sim/error.h"
#include "viz/palette.h"
#include "viz/table.h"

namespace tplab {

namespace {

constexpr std::string_view kForwardColour = "#aadaf4", kBackwardColour = "#f5d08a";

// What the step takes its numbers from.
struct Sizes {
  int64_t stream, inner, logits, table;  // B T C, B T F, B T V, V C
  int64_t layers;
  int n;
  Algorithm algorithm;
  DType dtype;
};

// What a rank sends on average in `count` such collectives.
SplitTraffic& add(SplitTraffic& traffic, const Sizes& s, Op op, int64_t elements, int64_t count) {
  double bytes = 0;
  for (int rank = 0; rank < s.n; ++rank)
    bytes +=
        static_cast<double>(predicted_wire_bytes(op, s.algorithm, rank, s.n, elements, s.dtype));
  if (s.n > 1) traffic.sync_points += count;
  traffic.bytes += static_cast<double>(count) * bytes / s.n;
  return traffic;
}

WayToSplit naive(const Sizes& s) {
  WayToSplit way{.name = "naive",
                 .how = "every linear split by output features, its output gathered at once",
                 .counted = false,
                 .why_not = ""};
  for (const int64_t output : {3 * s.stream, s.stream, s.inner, s.stream})
    add(way.forward, s, Op::all_gather, output, s.layers);
  add(way.forward, s, Op::all_gather, s.logits, 1);
  for (const int64_t input : {s.stream, s.stream, s.stream, s.inner})
    add(way.backward, s, Op::all_reduce, input, s.layers);
  add(way.backward, s, Op::all_reduce, s.stream, 1);
  return way;
}

WayToSplit pipeline(const Sizes& s, bool tied) {
  WayToSplit way{.name = "pipeline",
                 .how = "stages of whole blocks, one after the other; one works while others wait",
                 .counted = false,
                 .why_not = ""};
  if (s.layers < s.n) {
    way.why_not = fmt::format("{} blocks make no {} stages", s.layers, s.n);
    return way;
  }
  const double message = static_cast<double>(s.stream * size_bytes(s.dtype));
  const int64_t links = s.n - 1;
  way.forward = {std::min<int64_t>(links, 2), static_cast<double>(links) * message / s.n};
  way.backward = way.forward;  // an inner stage receives and sends
  if (tied && s.n > 1) {
    ++way.backward.sync_points;
    way.backward.bytes += 2.0 *
                          static_cast<double>(predicted_wire_bytes(Op::all_reduce, s.algorithm, 0,
                                                                   2, s.table, s.dtype)) /
                          s.n;
  }
  return way;
}

WayToSplit tensor_parallel(const WeightSource& source, StepOptions options, bool sp) {
  WayToSplit way{.name = sp ? "TP + SP" : "TP",
                 .how = sp ? "and the stream between layers split by positions"
                           : "linears in pairs, by output and then by input features",
                 .counted = true,
                 .why_not = ""};
  options.trainer.sp = sp;
  options.trainer.sp_regather = false;
  try {
    complete(options, source.config());
  } catch (const Error& error) {
    if (!sp) throw;
    way.why_not = error.problem();
    return way;
  }
  const ShardPlan plan(source.config(), options.tp);
  const StepOnMeta run = step_on_meta(source, plan, options);
  check_same_plan(plan, run);
  for (const RankRecord& rank : run.records) {
    SplitTraffic forward, backward;
    for (const Event& event : rank.ledger.events()) {
      if (event.phase == Phase::optimizer) continue;
      SplitTraffic& traffic = event.phase == Phase::forward ? forward : backward;
      ++traffic.sync_points;
      traffic.bytes += static_cast<double>(event.wire_bytes) / options.tp;
    }
    for (const auto& [total, mine] :
         {std::pair{&way.forward, forward}, {&way.backward, backward}}) {
      total->sync_points = std::max(total->sync_points, mine.sync_points);
      total->bytes += mine.bytes;
    }
  }
  return way;
}

std::string sent_text(const SplitTraffic& traffic) {
  return fmt::format("{} sync points, {}", traffic.sync_points, human_bytes(traffic.bytes));
}

double most_bytes(const ComparePicture& picture) {
  double most = 1;
  for (const WayToSplit& way : picture.ways) most = std::max(most, way.bytes());
  return most;
}

std::string repeated(std::string_view glyph, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += glyph;
  return text;
}

}  // namespace

ComparePicture compare_picture(const WeightSource& source, const StepOptions& options,
                               const std::string& title) {
  const GptConfig& c = source.config();
  const int64_t tokens = options.batch * options.seq;
  const Sizes sizes{.stream = tokens * c.n_embd,
                    .inner = tokens * c.n_inner,
                    .logits = tokens * c.vocab_size,
                    .table = c.vocab_size * c.n_embd,
                    .layers = c.n_layer,
                    .n = options.tp,
                    .algorithm = options.algorithm,
                    .dtype = options.trainer.dtype};
  return {title,
          options.tp,
          {naive(sizes), tensor_parallel(source, options, false),
           tensor_parallel(source, options, true), pipeline(sizes, c.tied_head)}};
}

Graph compare_graph(const ComparePicture& picture) {
  constexpr double kBar = 300, kHeight = 26, kNames = 90, kLine = 44, kTop = 64;
  Graph graph{.title = picture.title};
  const auto write = [&](const std::string& id, const std::string& text, const Box& at, bool left,
                         bool bold) {
    graph.add({.id = id,
               .rows = {{{text, "", bold, left}}},
               .outline = GraphNode::Outline::none,
               .font_size = 10,
               .at = at});
  };
  write("title", picture.title, {0, 0, kNames + kBar + 180, 30}, true, true);
  write("legend", "bytes that a rank sends in a step: forward, then backward",
        {0, 36, kNames + kBar + 180, 14}, true, false);
  const double scale = kBar / most_bytes(picture);
  double y = kTop;
  for (const WayToSplit& way : picture.ways) {
    write(way.name + " name", way.name, {0, y, kNames, kHeight}, true, true);
    if (!way.why_not.empty()) {
      write(way.name + " why not", way.why_not, {kNames, y, kBar + 180, kHeight}, true, false);
    } else {
      double x = kNames;
      for (const auto& [phase, traffic, fill] : {std::tuple{"forward", way.forward, kForwardColour},
                                                 {"backward", way.backward, kBackwardColour}}) {
        const double width = std::max(0.5, traffic.bytes * scale);
        graph.add({.id = fmt::format("{} {}", way.name, phase),
                   .rows = {{{""}}},
                   .tooltip = fmt::format("{}, {}: {}", way.name, phase, sent_text(traffic)),
                   .fill = std::string(fill),
                   .border = "#555555",
                   .at = Box{x, y, width, kHeight}});
        x += width;
      }
      write(way.name + " sent",
            fmt::format("{}: {} + {} sync points", human_bytes(way.bytes()),
                        way.forward.sync_points, way.backward.sync_points),
            {x + 6, y, 174, kHeight}, true, false);
    }
    y += kLine;
  }
  return graph;
}

std::string compare_text(const ComparePicture& picture, const TextStyle& style) {
  std::string text = ink(picture.title, Ink::bold, style.colour) + "\n\n";
  Table table({{"", Table::Align::left},
               {"forward", Table::Align::right},
               {"", Table::Align::right},
               {"backward", Table::Align::right},
               {"", Table::Align::right},
               {"", Table::Align::left}});
  for (const WayToSplit& way : picture.ways) {
    if (!way.why_not.empty()) {
      table.row({{way.name}, {"-"}, {"-"}, {"-"}, {"-"}, {"not these sizes", Ink::dim}});
      continue;
    }
    table.row({{way.name},
               {std::to_string(way.forward.sync_points)},
               {human_bytes(way.forward.bytes)},
               {std::to_string(way.backward.sync_points)},
               {human_bytes(way.backward.bytes)},
               {way.counted ? "counted" : "computed", Ink::dim}});
  }
  text += table.text(style.colour) + "\n";
  const auto columns = static_cast<double>(style.columns - 22);
  for (const WayToSplit& way : picture.ways) {
    if (!way.why_not.empty()) {
      text += fmt::format("{:<10}{}\n", way.name,
                          one_line(way.why_not, {false, style.unicode, style.columns - 10}));
      continue;
    }
    const double scale = columns / most_bytes(picture);
    const auto forward = static_cast<int64_t>(std::lround(way.forward.bytes * scale));
    const auto whole = static_cast<int64_t>(std::lround(way.bytes() * scale));
    text +=
        fmt::format("{:<10}{}{} {}\n", way.name, repeated(style.unicode ? "█" : "#", forward),
                    repeated(style.unicode ? "▒" : "=", whole - forward), human_bytes(way.bytes()));
  }
  text += fmt::format("\n{} forward   {} backward: what a rank sends in a step, on average\n",
                      style.unicode ? "█" : "#", style.unicode ? "▒" : "=");
  for (const WayToSplit& way : picture.ways) text += fmt::format("{:<10}{}\n", way.name, way.how);
  return text;
}

}  // namespace tplab
