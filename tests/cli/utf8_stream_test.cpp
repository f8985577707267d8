// Text in pieces: whole characters come out as soon as they are whole.
#include "cli/utf8_stream.h"

#include <catch2/catch.hpp>

namespace tplab::cli {
namespace {

TEST_CASE("utf8 stream: a character cut in pieces comes out with its last byte") {
  Utf8Stream stream;
  CHECK(stream.add("a\xF0") == "a");
  CHECK(stream.add("\x9F").empty());
  CHECK(stream.add("\x98").empty());
  CHECK(stream.add("\x80z") == "\xF0\x9F\x98\x80z");
  CHECK(stream.finish().empty());
}

TEST_CASE("utf8 stream: bytes that begin no character become U+FFFD, the rest stays") {
  Utf8Stream stream;
  CHECK(stream.add("a\x80"
                   "b\xC3"
                   "c") == "a\uFFFDb\uFFFDc");
  CHECK(stream.add("\xE0\x80\x80") == "\uFFFD\uFFFD\uFFFD");  // an overlong form
  CHECK(stream.add("\xFF") == "\uFFFD");
}

TEST_CASE("utf8 stream: a character cut short at the end is U+FFFD for each byte") {
  Utf8Stream stream;
  CHECK(stream.add("x\xE2\x82") == "x");
  CHECK(stream.finish() == "\uFFFD\uFFFD");
  CHECK(stream.finish().empty());
}

TEST_CASE("utf8 stream: any cut of a text gives the same text") {
  const std::string text = "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x98\x80!";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8Stream stream;
    std::string got = stream.add(text.substr(0, cut));
    got += stream.add(text.substr(cut));
    got += stream.finish();
    CHECK(got == text);
  }
}

}  // namespace
}  // namespace tplab::cli
