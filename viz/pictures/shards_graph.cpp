// Shards as boxes to scale: a card for each parameter, on shelves.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "sim/text/bytes_text.h"
#include "viz/drawing/palette.h"
#include "viz/drawing/table.h"
#include "viz/pictures/shards_picture.h"

namespace tplab {

namespace {

// In points.
constexpr double kShelf = 900, kGap = 16, kBar = 13, kFont = 8, kLine = 11;
constexpr double kLetter = 0.64;    // of the font's size: DejaVu Sans, wide letters
constexpr int64_t kMostHeads = 16;  // drawn one by one

double text_width(const std::string& text, double font) {
  return kLetter * font * static_cast<double>(display_width(text));
}

// A text in the middle of a box that is not to be seen.
GraphNode label(std::string id, const std::string& text, const Box& at, bool bold,
                double font = kFont) {
  return {.id = std::move(id),
          .rows = {{{text, "", bold}}},
          .tooltip = text,
          .border = "#ffffff",
          .font_size = font,
          .at = at};
}

// How a parameter is laid out: upright as it is written, or with its rows to the right.
struct Layout {
  double scale;  // points a number
  bool rows_to_the_right;
  double thickness = 0;  // of a vector

  Box box(const ShardPart& part) const {
    const auto from = [&](int64_t at) { return static_cast<double>(at) * scale; };
    const double across = thickness > 0 ? thickness : from(part.cols.size());
    const Box upright{from(part.cols.begin), from(part.rows.begin), across, from(part.rows.size())};
    if (!rows_to_the_right) return upright;
    return {upright.y, upright.x, upright.height, upright.width};
  }
};

class ShardsDrawing {
 public:
  explicit ShardsDrawing(const ShardsPicture& picture);
  Graph take() && { return std::move(graph_); }

 private:
  Layout layout_of(const ShardMatrix& matrix) const;
  void heading(const std::string& text);
  void card(const ShardMatrix& matrix);
  void draw_part(const ShardMatrix& matrix, const ShardPart& part, const Layout& layout, double x,
                 double y);
  std::vector<ShardPart> drawn_parts(const ShardMatrix& matrix) const;

  const ShardsPicture& picture_;
  Graph graph_;
  double scale_;  // of a block's matrices
  double x_ = 0, y_ = 0, shelf_height_ = 0;
  size_t boxes_ = 0;
};

// A part's number must have room: the narrowest ones are C / tp and, head by head, C / H.
ShardsDrawing::ShardsDrawing(const ShardsPicture& picture) : picture_(picture) {
  const int64_t heads = picture.heads <= kMostHeads ? picture.heads : picture.tp;
  scale_ = std::max({96.0, 9.0 * static_cast<double>(heads), 9.0 * picture.tp}) /
           static_cast<double>(picture.width);
  graph_.title = fmt::format("{}: shards, tp {}", picture.model, picture.tp);
  heading(fmt::format("{}, tp {}, {}: a rank holds {}{}", picture.model, picture.tp,
                      name(picture.dtype), picture.even ? "" : "at most ",
                      bytes_text(picture.rank_bytes)));
  const auto draw = [&](std::string_view heading_text, const auto& belongs) {
    heading(std::string(heading_text));
    for (const bool vectors : {false, true})  // small ones last: they fill a shelf
      for (const ShardMatrix& matrix : picture.matrices)
        if (matrix.is_vector() == vectors && belongs(matrix)) card(matrix);
  };
  const auto in_block = [](const ShardMatrix& m) { return m.id.at.in_block(); };
  const auto in_embedding = [](const ShardMatrix& m) {
    return m.id.role == Role::token_embedding || m.id.role == Role::position_embedding;
  };
  draw("embedding", in_embedding);
  draw(fmt::format("block 0 of {} that are alike", picture.layers), in_block);
  draw(picture.tied_head ? "head, whose matrix is the embedding's" : "head",
       [&](const ShardMatrix& m) { return !in_block(m) && !in_embedding(m); });
}

void ShardsDrawing::heading(const std::string& text) {
  y_ += shelf_height_ + (boxes_ == 0 ? 0 : kGap);
  x_ = shelf_height_ = 0;
  graph_.add({.id = fmt::format("heading {}", boxes_++),
              .rows = {{{text, "", true, true}}},
              .tooltip = text,
              .border = "#ffffff",
              .outline = GraphNode::Outline::none,
              .font_size = 11,
              .at = Box{0, y_, std::max(text_width(text, 11), 40.0), 16}});
  y_ += 16 + kGap / 2;
}

Layout ShardsDrawing::layout_of(const ShardMatrix& matrix) const {
  if (matrix.is_vector()) return {scale_, true, kBar};
  if (matrix.id.at.in_block()) return {scale_, false};
  const auto rows = static_cast<double>(matrix.rows);
  const double least = matrix.split == Split::whole ? 0 : 9.0 * picture_.tp / rows;
  return {std::max(std::min(scale_, 480 / rows), least), true};
}

// A part of several heads as that many, if there are few enough to be seen.
std::vector<ShardPart> ShardsDrawing::drawn_parts(const ShardMatrix& matrix) const {
  std::vector<ShardPart> parts;
  for (const ShardPart& part : matrix.parts) {
    const int64_t heads = part.heads.size();
    if (heads == 0 || matrix.is_vector() || picture_.heads > kMostHeads) {
      parts.push_back(part);
      continue;
    }
    const int64_t rows = part.rows.size() / heads;
    for (int64_t h = 0; h < heads; ++h) {
      ShardPart one = part;
      one.rows = {part.rows.begin + h * rows, part.rows.begin + (h + 1) * rows};
      one.heads = {part.heads.begin + h, part.heads.begin + h + 1};
      parts.push_back(one);
    }
  }
  return parts;
}

void ShardsDrawing::card(const ShardMatrix& matrix) {
  const Layout layout = layout_of(matrix);
  std::vector<std::string> lines = {
      fmt::format("[{}], a rank {}", fmt::join(matrix.shape, ", "), matrix.rank_shape()),
      split_in_words(matrix),
      fmt::format("{}, tp {}, {} a rank", matrix.placement, picture_.tp, matrix.rank_size())};
  if (matrix.padding_rows > 0)
    lines.push_back(fmt::format("{} rows of padding (dashed)", matrix.padding_rows));
  if (layout.rows_to_the_right && !matrix.is_vector())
    lines.push_back(layout.scale == scale_ ? "rows run to the right"
                                           : fmt::format("rows run to the right, at 1/{:.1f} of a "
                                                         "block's scale",
                                                         scale_ / layout.scale));
  double text = text_width(matrix.name, kFont + 1);
  for (const std::string& line : lines) text = std::max(text, text_width(line, kFont));
  const Box drawing = layout.box({.rows = {0, matrix.rows}, .cols = {0, matrix.cols}});
  const bool fused = matrix.fused;
  const double margin = fused && !matrix.is_vector() ? 12 : 0;
  const double width = std::max(text, drawing.width + 2 * margin);
  const double header = kLine * static_cast<double>(lines.size() + 1) + 2;
  const double height = header + drawing.height + (fused && matrix.is_vector() ? kLine : 0);
  if (x_ > 0 && x_ + width > kShelf) {
    y_ += shelf_height_ + kGap;
    x_ = shelf_height_ = 0;
  }

  graph_.add(label("name " + matrix.name, matrix.name, {x_, y_, width, kLine}, true, kFont + 1));
  graph_.add(label("facts " + matrix.name, fmt::format("{}", fmt::join(lines, "\n")),
                   {x_, y_ + kLine, width, header - kLine - 2}, false));
  const double x = x_ + (width - drawing.width) / 2, y = y_ + header;
  for (const ShardPart& part : drawn_parts(matrix)) draw_part(matrix, part, layout, x, y);
  for (int64_t i = 0; fused && i < 3; ++i) {
    const Box block =
        layout.box({.rows = {i * matrix.rows / 3, (i + 1) * matrix.rows / 3}, .cols = {0, 1}});
    const Box at = matrix.is_vector() ? Box{x + block.x, y + drawing.height, block.width, kLine}
                                      : Box{x - margin, y + block.y, margin - 2, block.height};
    graph_.add(label(fmt::format("block {} {}", "qkv"[i], matrix.name), std::string(1, "qkv"[i]),
                     at, true));
  }
  x_ += width + kGap;
  shelf_height_ = std::max(shelf_height_, height);
}

// The longest way to say it that fits, and the size of its letters.
std::pair<std::string, double> fitting(const std::vector<std::string>& texts, const Box& box) {
  for (const std::string& text : texts) {
    const double font = std::min({kFont, box.height - 1.5, (box.width - 2) / text_width(text, 1)});
    if (font >= (text == texts.back() ? 4.5 : 5.5)) return {text, font};
  }
  return {"", kFont};
}

void ShardsDrawing::draw_part(const ShardMatrix& matrix, const ShardPart& part,
                              const Layout& layout, double x, double y) {
  Box box = layout.box(part);
  box.x += x;
  box.y += y;
  const bool all = part.rank == ShardPart::kEveryRank;
  std::string who = all ? "every rank" : fmt::format("rank {}", part.rank);
  std::string heads;
  if (part.heads.size() == 1) heads = fmt::format("head {}", part.heads.begin);
  if (part.heads.size() > 1)
    heads = fmt::format("heads {}-{}", part.heads.begin, part.heads.end - 1);
  std::vector<std::string> texts;
  if (!heads.empty()) texts.push_back(who + ": " + heads);
  if (part.padding) texts = {who + ": zeros", fmt::format("{}: zeros", part.rank)};
  if (!part.padding) texts.push_back(who);
  texts.push_back(all ? "all" : fmt::format("{}", part.rank));
  const auto [text, font] = fitting(texts, box);
  const std::string colour(all ? "#777777" : rank_colour(part.rank));
  graph_.add(
      {.id = fmt::format("{} {}{} {}:{}", matrix.name, all ? "all" : "", part.rank, part.block,
                         part.rows.begin),
       .rows = {{{text}}},
       .tooltip = fmt::format("{}: {}{}{}{} [{}:{}, {}:{}]", matrix.name, who,
                              part.block.empty() ? "" : ", " + part.block,
                              heads.empty() ? "" : ", " + heads, part.padding ? ", padding" : "",
                              part.rows.begin, part.rows.end, part.cols.begin, part.cols.end),
       .fill = part.padding || all ? "#ffffff" : rank_tint(part.rank),
       .border = colour,
       .border_width = 0.7,
       .dashed = part.padding,
       .font_size = std::round(font * 10) / 10,
       .at = box});
}

}  // namespace

Graph shards_graph(const ShardsPicture& picture) { return ShardsDrawing(picture).take(); }

}  // namespace tplab
