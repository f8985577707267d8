// Tables for the terminal: aligned columns, optional colour, one or more lines of UTF-8.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tplab {

enum class Ink { plain, good, bad, dim, bold };

// text wrapped in the terminal's codes for the ink, or as it is when colour is off.
std::string ink(std::string_view text, Ink ink, bool colour);

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };
  struct Cell {
    std::string text;
    Ink ink = Ink::plain;
  };

  // keys: how many of the first columns say what a row is about.   REQUIRES: keys < columns
  explicit Table(std::vector<Column> columns, size_t keys = 1)
      : columns_(std::move(columns)), keys_(keys) {}
  // Missing cells at the end are empty. REQUIRES: no more cells than columns.
  void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  // At most so many columns of the terminal wide, and nothing is left out: headings take several
  // lines, then cells of several words; what still does not fit stands below, after the keys once
  // more; and a word is cut only where it alone is too wide.
  std::string text(bool colour, int columns = 80) const;

 private:
  std::vector<size_t> widths(size_t limit, bool whole_words) const;
  std::string laid_out(const std::vector<size_t>& widths, bool colour) const;
  std::vector<Table> parts(size_t limit) const;
  Table only(size_t first, size_t last) const;  // the keys, and columns from first to before last

  std::vector<Column> columns_;
  size_t keys_;
  std::vector<std::vector<Cell>> rows_;
};

// How many columns of a terminal UTF-8 text takes: two for wide characters, such as Chinese ones,
// none for accents that are put on the one before, nor for codes that ink() writes.
size_t display_width(std::string_view text);

// The text with spaces made into ends of lines, so that none is wider, if its words allow. Lines
// that this begins start with `indent` spaces.
std::string wrapped(std::string_view text, size_t columns, size_t indent = 0);

// Text in lines, of which those that are too wide are wrapped: what they go on with stands further
// in than they do, and beneath what follows "tplab: " or "  fix: ".
std::string fitted(std::string_view text, int columns);

// "1 step", "3 steps".
std::string counted(int64_t n, std::string_view what);

// Text whose white space is its own: a line that is too wide is cut where a terminal would cut it.
std::string cut_at(std::string_view text, int columns);

}  // namespace tplab
