// Text that comes from outside, made fit for a terminal.
#include "viz/drawing/picture.h"

#include <catch2/catch.hpp>

using namespace tplab;

namespace {

TEST_CASE("one_line: cut at the columns, and nothing that a terminal would obey") {
  CHECK(one_line("abc", {.columns = 3}) == "abc");
  CHECK(one_line("abcd", {.columns = 3}) == "ab…");
  CHECK(one_line("abcd", {.unicode = false, .columns = 3}) == "ab>");
  CHECK(one_line("a\x1b[0m\n\x7f\xc3", {}) == "a?[0m???");
  CHECK(one_line("\xc2\x9b", {}) == "?");  // a control character of two bytes
  CHECK(one_line("é漢𝄞", {}) == "é漢𝄞");
  CHECK(one_line("漢漢漢", {.columns = 6}) == "漢漢漢");
  CHECK(one_line("漢漢漢", {.columns = 5}) == "漢漢…");
  CHECK(one_line("漢漢漢", {.columns = 4}) == "漢…");
  CHECK(one_line("é漢𝄞", {.unicode = false}) == "???");
}

TEST_CASE("title_lines: broken at spaces, and nothing in it reaches a terminal but text") {
  CHECK(title_lines("a bc def\nx", {false, true, 4}) == "a bc\ndef\nx\n");
  CHECK(title_lines("abcdef gh", {false, true, 3}) == "abcdef\ngh\n");
  CHECK(title_lines("\x1b[31mr\té", {false, false, 80}) == "?[31mr??\n");
}
}  // namespace
