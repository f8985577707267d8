#include "viz/pictures/collective_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "viz/drawing/palette.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

// What reached one rank in one step, messages with the same chunks as one.
struct Arrival {
  int to;
  RankSet senders = 0;
  Holding chunks;  // the sum of what came
  Holding held;    // of these chunks, afterwards
};

std::vector<std::vector<Arrival>> arrivals_by_step(const CollectiveRecord& record) {
  const auto after = holdings(record);
  std::vector<std::vector<Arrival>> steps(after.size());  // [0] stays empty
  for (const Transfer& t : record.transfers) {
    std::vector<Arrival>& step = steps[static_cast<size_t>(t.step)];
    const bool same = !step.empty() && step.back().to == t.to &&
                      std::equal(t.chunks.begin(), t.chunks.end(), step.back().chunks.begin(),
                                 step.back().chunks.end(),
                                 [](const auto& a, const auto& b) { return a.first == b.first; });
    if (!same) step.push_back({.to = t.to, .chunks = {}, .held = {}});
    Arrival& arrival = step.back();
    arrival.senders |= rank_set(t.from);
    for (const auto& [chunk, ranks] : t.chunks) {
      arrival.chunks[chunk] |= ranks;
      arrival.held[chunk] = after[static_cast<size_t>(t.step)][static_cast<size_t>(t.to)].at(chunk);
    }
  }
  return steps;
}

// "all chunks {0}", "chunk 3 {0,1}", "chunks 1,2 {0-3}"; of an all_to_all "what 0,1 had for 3".
std::string in_words(const Holding& chunks, const CollectiveRecord& record) {
  const bool exchange = record.row->op == Op::all_to_all;
  std::map<RankSet, RankSet> grouped;  // whose sum -> which chunks
  for (const auto& [chunk, ranks] : chunks)
    grouped[exchange ? rank_set(chunk % record.n) : ranks] |=
        rank_set(exchange ? chunk / record.n : chunk);
  if (grouped.empty()) return "nothing";
  if (exchange && grouped.size() > 1) return "a chunk for each rank";
  if (record.row->op == Op::all_gather && std::ssize(chunks) == record.n && record.n > 1)
    return "all chunks";
  std::string text;
  for (const auto& [ranks, which] : grouped) {
    if (!text.empty()) text += ", ";
    const RankSet all = first_ranks(record.n);
    if (exchange) {
      text += fmt::format("what {} had for {}", ranges_text(which), ranges_text(ranks));
    } else if (which == all) {
      text += "all chunks " + in_braces(ranks);
    } else {
      text += fmt::format("chunk{} {} {}", (which & (which - 1)) ? "s" : "", ranges_text(which),
                          in_braces(ranks));
    }
  }
  return text;
}

// Whose terms the receiver has then, where something was added.
std::string has(const Arrival& arrival) {
  if (arrival.held == arrival.chunks) return "";
  return in_braces(arrival.held.begin()->second);
}

std::string title(const CollectiveRecord& record) {
  const AlgorithmRow& row = *record.row;
  // A name in brackets runs where the algorithm that was asked for has no meaning.
  const bool stands_in = row.name.starts_with('(');
  std::string text =
      fmt::format("{} by {}{}, {} ranks", name(row.op),
                  stands_in ? row.name.substr(1, row.name.size() - 2) : row.name,
                  stands_in ? fmt::format(" (there is no {})", name(row.algorithm)) : "", record.n);
  if (row.op == Op::broadcast) text += fmt::format(", from rank {}", record.root);
  return text;
}

std::string costs(const CollectiveRecord& record) {
  const int steps = record.steps();
  return fmt::format("{} step{}; on average a rank sends {}, S being the tensor, n the ranks",
                     steps, steps == 1 ? "" : "s", record.row->sent.formula);
}

std::string legend(const CollectiveRecord& record) {
  if (record.row->op == Op::all_to_all)
    return fmt::format("Each rank's tensor is cut into {} chunks, one for each rank.", record.n);
  if (record.row->op == Op::broadcast || record.row->op == Op::all_gather)
    return fmt::format("The tensor is cut into {} chunks. {{2}}: of rank 2.", record.n);
  return fmt::format("The tensor is cut into {} chunks. {{0,1}}: with the terms of ranks 0 and 1.",
                     record.n);
}

std::string sent(const CollectiveRecord& record, size_t rank) {
  const int64_t chunks = record.chunks_sent[rank];
  // Reading from a peer's memory counts for the reader, as in the ledger.
  return fmt::format("{} {} chunk{}, {:.4g} S",
                     record.row->algorithm == Algorithm::direct ? "moved" : "sent", chunks,
                     chunks == 1 ? "" : "s", static_cast<double>(chunks) / record.n);
}

// --- The graph.

constexpr double kFont = 9, kLetter = 0.62 * kFont, kLine = 12, kGap = 40, kBetween = 18;

class CollectiveDrawing {
 public:
  explicit CollectiveDrawing(const CollectiveRecord& record);
  Graph take() && { return std::move(graph_); }

 private:
  struct Cell {  // what a rank shows at one level
    std::vector<std::string> lines;
    bool complete = false, bold_first = false;
  };
  void make_cells(const std::vector<std::vector<Arrival>>& steps);
  void write(std::string id, const std::string& text, double x, double y);
  std::string port(const char* kind, int step, int rank, double y);
  double centre(int rank) const { return left_ + (rank + 0.5) * width_ + rank * kBetween; }
  void lines_of_life(int levels);

  const CollectiveRecord& record_;
  Graph graph_;
  std::vector<std::map<int, Cell>> cells_;  // by level and rank: 0 at first, then steps, then end
  std::vector<double> tops_, heights_;
  std::set<std::string> ports_;
  double width_ = 0, left_ = 60;
};

void CollectiveDrawing::make_cells(const std::vector<std::vector<Arrival>>& steps) {
  const RankSet all = first_ranks(record_.n);
  const bool sums = record_.row->op == Op::all_reduce || record_.row->op == Op::reduce_scatter;
  cells_.resize(steps.size() + 1);
  for (int r = 0; r < record_.n; ++r) {
    const auto i = static_cast<size_t>(r);
    cells_.front()[r] = {
        {fmt::format("rank {}", r), in_words(record_.begin[i], record_)}, false, true};
    cells_.back()[r] = {
        {fmt::format("rank {} ends with", r), in_words(record_.end[i], record_), sent(record_, i)},
        true,
        true};
  }
  for (size_t s = 1; s < steps.size(); ++s) {
    for (const Arrival& arrival : steps[s]) {
      Cell& cell = cells_[s][arrival.to];
      cell.lines.push_back(fmt::format("{} from {}", in_words(arrival.chunks, record_),
                                       ranges_text(arrival.senders)));
      if (!has(arrival).empty()) cell.lines.push_back("has " + has(arrival));
      cell.complete = !sums || arrival.held.begin()->second == all;
    }
  }
}

void CollectiveDrawing::write(std::string id, const std::string& text, double x, double y) {
  const double width = kLetter * static_cast<double>(text.size()) * 1.1;
  graph_.add(text_node(std::move(id), text, Box{x, y, width, kLine}, kFont, true));
}

// Where a message leaves or reaches a rank's line, between the boxes.
std::string CollectiveDrawing::port(const char* kind, int step, int rank, double y) {
  std::string id = fmt::format("{} {} of rank {}", kind, step, rank);
  if (ports_.insert(id).second)
    graph_.add({.id = id,
                .rows = {{{""}}},
                .tooltip = fmt::format("rank {}", rank),
                .fill = std::string(rank_colour(rank)),
                .border = std::string(rank_colour(rank)),
                .font_size = 1,
                .at = Box{centre(rank) - 1, y, 2, 2}});
  return id;
}

std::string cell_id(size_t level, int rank) {
  return fmt::format("rank {} after step {}", rank, level);
}

void CollectiveDrawing::lines_of_life(int levels) {
  for (int r = 0; r < record_.n; ++r) {
    size_t before = 0;
    for (size_t level = 1; level < static_cast<size_t>(levels); ++level) {
      if (!cells_[level].contains(r)) continue;
      graph_.edges.push_back({.from = cell_id(before, r),
                              .to = cell_id(level, r),
                              .tooltip = fmt::format("rank {}", r),
                              .colour = "#cccccc",
                              .arrow = false});
      before = level;
    }
  }
}

CollectiveDrawing::CollectiveDrawing(const CollectiveRecord& record) : record_(record) {
  graph_.title = title(record);
  make_cells(arrivals_by_step(record));
  for (const auto& level : cells_)
    for (const auto& [rank, cell] : level)
      for (const std::string& line : cell.lines)
        width_ = std::max(width_, kLetter * static_cast<double>(line.size()) + 12);

  const std::string about =
      fmt::format("{}\n{}\n{} Green: complete.", title(record), costs(record), legend(record));
  GraphNode heading =
      text_node("about", about,
                Box{0, 0, 1.1 * kLetter * static_cast<double>(costs(record).size()), 3 * kLine + 4},
                kFont, true);
  heading.tooltip = title(record);
  graph_.add(std::move(heading));
  double y = 3 * kLine + 12;
  for (size_t level = 0; level < cells_.size(); ++level) {
    size_t lines = 1;
    for (const auto& [rank, cell] : cells_[level]) lines = std::max(lines, cell.lines.size());
    tops_.push_back(y);
    heights_.push_back(kLine * static_cast<double>(lines) + 6);
    const bool step_follows = level + 2 < cells_.size();
    y += heights_.back() + (step_follows ? kGap : 16);
  }
  for (size_t level = 0; level < cells_.size(); ++level) {
    for (const auto& [rank, cell] : cells_[level]) {
      GraphNode node{.id = cell_id(level, rank),
                     .rows = {},
                     .fill = std::string(placement_colour(cell.complete ? "invariant" : "partial")),
                     .border = std::string(rank_colour(rank)),
                     .border_width = 1.5,
                     .font_size = kFont,
                     .at = Box{centre(rank) - width_ / 2, tops_[level], width_, heights_[level]}};
      std::string text;
      for (const std::string& line : cell.lines) text += (text.empty() ? "" : "\n") + line;
      node.rows = {{{text}}};
      node.tooltip = cell_id(level, rank) + ": " + text;
      std::replace(node.tooltip.begin(), node.tooltip.end(), '\n', ' ');
      graph_.add(std::move(node));
    }
  }
  lines_of_life(static_cast<int>(cells_.size()));
  for (int step = 1; step <= record.steps(); ++step) {
    const auto above = static_cast<size_t>(step - 1);
    write(fmt::format("step {}", step), fmt::format("step {}", step), 0,
          tops_[above] + heights_[above] + kGap / 2 - kLine / 2);
  }
  for (const Transfer& t : record.transfers) {
    const auto above = static_cast<size_t>(t.step - 1);
    const std::string from = port("out", t.step, t.from, tops_[above] + heights_[above] + 3);
    const std::string to = port("in", t.step, t.to, tops_[above + 1] - 5);
    graph_.edges.push_back({.from = from,
                            .to = to,
                            .tooltip = fmt::format("step {}: {} from rank {} to rank {}", t.step,
                                                   in_words(t.chunks, record), t.from, t.to),
                            .colour = std::string(rank_colour(t.from)),
                            .width = 1.2});
  }
}

}  // namespace

Graph collective_graph(const CollectiveRecord& record) { return CollectiveDrawing(record).take(); }

std::string collective_text(const CollectiveRecord& record, const TextStyle& style) {
  const auto bold = [&](const std::string& text) {
    return ink(text, Ink::bold, style.colour) + "\n";
  };
  std::string text = bold(title(record)) + costs(record) + "\n" + legend(record) + "\n";
  text += fmt::format("\n{}", bold("at first"));
  for (size_t r = 0; r < record.begin.size(); ++r)
    text += fmt::format("  rank {:<6} {}\n", r, in_words(record.begin[r], record));
  const auto steps = arrivals_by_step(record);
  size_t widest = 4;
  for (const auto& step : steps)
    for (const Arrival& arrival : step)
      widest = std::max(widest, ranges_text(arrival.senders).size());
  for (size_t s = 1; s < steps.size(); ++s) {
    text += bold(fmt::format("step {}", s));
    for (const Arrival& arrival : steps[s]) {
      const std::string sum = has(arrival);
      text += fmt::format("  {:>{}} {} {:<3} {}{}\n", ranges_text(arrival.senders), widest,
                          style.unicode ? "→" : "->", arrival.to, in_words(arrival.chunks, record),
                          sum.empty() ? "" : ", then has " + ink(sum, Ink::good, style.colour));
    }
  }
  text += bold("at the end");
  for (size_t r = 0; r < record.end.size(); ++r)
    text +=
        fmt::format("  rank {:<6} {}; {}\n", r, in_words(record.end[r], record), sent(record, r));
  return text;
}

}  // namespace tplab
