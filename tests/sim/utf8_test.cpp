#include "sim/text/utf8.h"

#include <catch2/catch.hpp>

#include "sim/error.h"

using namespace tplab;

TEST_CASE("printable: what a terminal would obey or hide is spelled out, ordinary UTF-8 stays") {
  CHECK(printable("a\u00e9\u6f22\U0001F600 b\n") == "a\u00e9\u6f22\U0001F600 b\n");
  CHECK(printable("\u0120the") == "\u0120the");  // GPT-2's space
  CHECK(printable(std::string("\0\x1b[31m\r\t\x7f", 9)) == "\\x00\\x1b[31m\\x0d\\x09\\x7f");
  CHECK(printable("\xc2\x85\xc2\x9b") == "\\u0085\\u009b");                 // C1 controls
  CHECK(printable("\u202eabc\u2066\u200f") == "\\u202eabc\\u2066\\u200f");  // bidirectional
  CHECK(printable("\u200b\ufeff\u2028") == "\\u200b\\ufeff\\u2028");
  CHECK(printable("\xff\xc3(\xe2\x82") == "\\xff\\xc3(\\xe2\\x82");  // no UTF-8
  CHECK(printable("\xc0\x80\xed\xa0\x80") == "\\xc0\\x80\\xed\\xa0\\x80");
  CHECK(printable_line("a\nb") == "a\\x0ab");
}

TEST_CASE("harmless: control characters are spelled out, and what spelling is made of stays") {
  CHECK(harmless("\x1b[31m\r\xc2\x9b a\tb\n") == "\\x1b[31m\\x0d\\u009b a\tb\n");
  const std::string persian =
      "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645";  // has a non-joiner
  CHECK(harmless(persian) == persian);
  CHECK(harmless("\U0001F469\u200d\U0001F52C") == "\U0001F469\u200d\U0001F52C");
}

TEST_CASE("errors: no name in a message cuts it, or reaches a terminal as more than text") {
  const std::string name("x\0y\x1b]0;z\a", 9);
  const Error error(ErrorKind::bad_file, name, "do " + name);
  CHECK(std::string(error.what()) == "x\\x00y\\x1b]0;z\\x07\n  fix: do x\\x00y\\x1b]0;z\\x07");
  CHECK(error.problem() == "x\\x00y\\x1b]0;z\\x07");
  try {
    fail_file("a\nb", "is gone", "");
  } catch (const Error& of_file) {
    CHECK(std::string(of_file.what()) == "a\\x0ab: is gone");
  }
}
