// Shards in a terminal: each split matrix as bands or strips with their ranks written in them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/text/bytes_text.h"
#include "viz/drawing/palette.h"
#include "viz/drawing/table.h"
#include "viz/pictures/shards_picture.h"

namespace tplab {

namespace {

constexpr int kStrip = 3;    // characters: two digits and a space
constexpr int kWidest = 72;  // of a drawing, in characters
constexpr int kHighest = 4;  // of a drawing of strips, in lines

std::string coloured(const std::string& text, int rank, bool colour) {
  if (!colour) return text;
  const std::string tint = rank_tint(rank);
  const auto part = [&](size_t at) { return std::stoi(tint.substr(at, 2), nullptr, 16); };
  return fmt::format("\x1b[30;48;2;{};{};{}m{}\x1b[0m", part(1), part(3), part(5), text);
}

// What fits of these, in the middle.
std::string centred(const std::vector<std::string>& texts, int width) {
  for (const std::string& text : texts)
    if (std::ssize(text) <= width) return fmt::format("{:^{}}", text, width);
  return std::string(static_cast<size_t>(width), ' ');
}

std::vector<std::string> ways_to_say(const ShardPart& part) {
  const std::string rank = fmt::format("{}", part.rank);
  if (part.padding) return {"rank " + rank + ": zeros", rank + ": zeros", rank + " 0"};
  std::vector<std::string> ways;
  if (part.heads.size() == 1)
    ways = {fmt::format("rank {}: head {}", rank, part.heads.begin),
            fmt::format("{}: h{}", rank, part.heads.begin)};
  if (part.heads.size() > 1)
    ways = {fmt::format("rank {}: heads {}-{}", rank, part.heads.begin, part.heads.end - 1),
            fmt::format("{}: h{}-{}", rank, part.heads.begin, part.heads.end - 1)};
  ways.push_back("rank " + rank);
  ways.push_back(rank);
  return ways;
}

struct Frame {
  std::string_view side, line, corners[4];  // top left, top right, bottom left, bottom right
  explicit Frame(bool unicode) {
    if (unicode) {
      side = "│", line = "─";
      corners[0] = "┌", corners[1] = "┐", corners[2] = "└", corners[3] = "┘";
    } else {
      side = "|", line = "-";
      for (auto& corner : corners) corner = "+";
    }
  }
  std::string rule(int width, bool top) const {
    std::string text(corners[top ? 0 : 2]);
    for (int i = 0; i < width; ++i) text += line;
    return text + std::string(corners[top ? 1 : 3]);
  }
};

class ShardsText {
 public:
  ShardsText(const ShardsPicture& picture, const TextStyle& style)
      : picture_(picture), style_(style), frame_(style.unicode) {
    const int tp = picture.tp;
    const int64_t each = (4 + tp - 1) / tp;
    lines_of_width_ = picture.width % (each * tp) == 0 ? each * tp : tp;
    if (!picture.even) lines_of_width_ = picture.heads;  // so that one head more is a line more
  }
  std::string text() const;

 private:
  int widest() const { return std::min(kWidest, style_.columns - 4); }
  static bool is_drawn(const ShardMatrix& m) { return !m.is_vector() && m.split != Split::whole; }
  double rows_a_line() const {
    return static_cast<double>(picture_.width) / static_cast<double>(lines_of_width_);
  }
  int lines_of(int64_t rows) const {
    return std::max(1, static_cast<int>(std::lround(static_cast<double>(rows) / rows_a_line())));
  }
  int width_of(int64_t cols) const { return std::clamp(2 * lines_of(cols), 8, widest() / 2); }
  std::string drawn(const ShardMatrix& matrix) const;
  std::string bands(const ShardMatrix& matrix, int width) const;
  std::string strips(const ShardMatrix& matrix) const;
  std::string header(const ShardMatrix& matrix, const std::string& scale) const;
  Table others() const;

  const ShardsPicture& picture_;
  const TextStyle& style_;
  Frame frame_;
  int64_t lines_of_width_;  // for C rows
};

std::string ShardsText::header(const ShardMatrix& m, const std::string& scale) const {
  std::string facts = fmt::format("{}, tp {}, {} a rank", m.placement, picture_.tp, m.rank_size());
  if (!scale.empty()) {
    const bool fits = std::ssize(facts) + 2 + std::ssize(scale) <= style_.columns;
    facts += (fits ? "; " : "\n") + scale;
  }
  return fmt::format("\n{}\n[{}], a rank {}: {}\n{}\n", ink(m.name, Ink::bold, style_.colour),
                     fmt::join(m.shape, ", "), m.rank_shape(), split_in_words(m), facts);
}

// Rows are split: one band below the other, the blocks of a fused matrix named at their side.
std::string ShardsText::bands(const ShardMatrix& m, int width) const {
  std::string text = "  " + frame_.rule(width, true) + "\n", block;
  for (const ShardPart& part : m.parts) {
    const int lines = m.split == Split::vocab ? 1 : lines_of(part.rows.size());
    for (int i = 0; i < lines; ++i) {
      const bool begins = !part.block.empty() && part.block != block;
      block = part.block;
      text += fmt::format("{} {}{}{}\n", begins ? part.block : " ", frame_.side,
                          coloured(centred(ways_to_say(part), width), part.rank, style_.colour),
                          frame_.side);
    }
  }
  return text + "  " + frame_.rule(width, false) + "\n";
}

// Columns are split: strips side by side, in several rows of them where there are too many ranks.
std::string ShardsText::strips(const ShardMatrix& m) const {
  const int tp = picture_.tp;
  const int wanted = 2 * lines_of(m.cols) / tp;
  const int strip = std::clamp(wanted, kStrip, std::max(kStrip, widest() / tp));
  const auto columns_a_character = static_cast<double>(m.cols) / (static_cast<double>(tp) * strip);
  std::vector<int> widths;
  widths.reserve(m.parts.size());
  for (const ShardPart& part : m.parts)
    widths.push_back(std::max(
        kStrip, static_cast<int>(
                    std::lround(static_cast<double>(part.cols.size()) / columns_a_character))));
  const int a_row = std::min(tp, widest() / widths.front());  // no part is wider
  const int lines = std::min(lines_of(m.rows), tp > a_row ? 1 : kHighest);
  std::string text;
  for (int first = 0; first < tp; first += a_row) {
    const int count = std::min(a_row, tp - first);
    const int all = std::accumulate(widths.begin() + first, widths.begin() + first + count, 0);
    text += "  " + frame_.rule(all, true) + "\n";
    for (int i = 0; i < lines; ++i) {
      text += "  " + std::string(frame_.side);
      for (int s = first; s < first + count; ++s) {
        const ShardPart& part = m.parts[static_cast<size_t>(s)];
        // Where there is no colour, a line between strips.
        const bool line = !style_.colour && s + 1 < first + count;
        const int width = widths[static_cast<size_t>(s)] - (line ? 1 : 0);
        text += coloured(centred(ways_to_say(part), width), part.rank, style_.colour);
        if (line) text += frame_.side;
      }
      text += std::string(frame_.side) + "\n";
    }
    text += "  " + frame_.rule(all, false) + "\n";
  }
  const std::string scale = fmt::format("a line is {:.4g} rows, a character {:.4g} columns",
                                        static_cast<double>(m.rows) / lines, columns_a_character);
  return header(m, scale) + text;
}

std::string ShardsText::drawn(const ShardMatrix& m) const {
  if (m.split == Split::cols) return strips(m);
  const int width = width_of(m.cols);
  const double columns = static_cast<double>(m.cols) / width;
  if (m.split != Split::vocab) {
    const ShardPart& part = m.parts.front();
    const double rows = static_cast<double>(part.rows.size()) / lines_of(part.rows.size());
    return header(m,
                  fmt::format("a line is {:.4g} rows, a character {:.4g} columns", rows, columns)) +
           bands(m, width);
  }
  const std::string padding =
      m.padding_rows > 0 ? fmt::format("the last {} rows are padding", m.padding_rows) : "";
  return header(m, padding) + bands(m, 24);
}

// What needs no drawing: vectors, and what every rank holds.
Table ShardsText::others() const {
  using enum Table::Align;
  Table table({{"not drawn"}, {"shape"}, {"a rank"}, {"bytes a rank", right}});
  for (const ShardMatrix& m : picture_.matrices) {
    if (is_drawn(m)) continue;
    const std::string whole = m.split == Split::whole ? "all of it" : "";
    table.row({{m.name},
               {fmt::format("[{}]", fmt::join(m.shape, ", "))},
               {whole.empty() ? m.rank_shape() : whole},
               {m.rank_size()}});
  }
  return table;
}

std::string ShardsText::text() const {
  std::string text =
      ink(one_line(picture_.model, style_), Ink::bold, style_.colour) +
      fmt::format("\ntp {}, {}: a rank holds {}{}; of {} blocks that are alike, the first\n",
                  picture_.tp, name(picture_.dtype), picture_.even ? "" : "at most ",
                  bytes_text(picture_.rank_bytes), picture_.layers);
  for (const ShardMatrix& matrix : picture_.matrices)
    if (is_drawn(matrix)) text += drawn(matrix);
  if (picture_.tied_head) text += "\nThe head's matrix is the embedding's.\n";
  return text + "\n" + others().text(style_.colour, style_.columns);
}

}  // namespace

std::string shards_text(const ShardsPicture& picture, const TextStyle& style) {
  return ShardsText(picture, style).text();
}

}  // namespace tplab
