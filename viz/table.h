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

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // Missing cells at the end are empty. REQUIRES: no more cells than columns.
  void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
  std::string text(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// How many columns of a terminal UTF-8 text takes, for the characters used here: its code points.
size_t display_width(std::string_view text);

// The text with spaces made into ends of lines, so that none is wider, if its words allow.
std::string wrapped(std::string_view text, size_t columns);

// 1.5 KiB, 24.9 MiB: three digits and a binary unit.
std::string human_bytes(double bytes);

}  // namespace tplab
