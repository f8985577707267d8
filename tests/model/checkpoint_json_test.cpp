// JSON as text, whatever bytes are in it; and files that are found again where they have moved.
#include <nlohmann/json.hpp>

#include "checkpoint_files.h"
#include "model/files/json.h"
#include "model/files/moved_file.h"

using namespace tplab;
using namespace tplab::testing;
using nlohmann::json;

TEST_CASE("json: no bytes are too strange to become text") {
  for (const std::string bytes : {"\xff", "caf\xe9", "\xed\xa0\x80", "a\xc3", "\x80\x80"}) {
    CHECK_THROWS(json(bytes).dump());
    CHECK(json_text(json(bytes)).find("\uFFFD") != std::string::npos);
    CHECK(json::parse(json_text(json{{bytes, bytes}}, 2)).is_object());
    CHECK(json_text(json(bytes), -1, true).find("\\ufffd") != std::string::npos);
  }
}

TEST_CASE("json: any bytes come back from a JSON string, and text is itself in it") {
  for (const std::string bytes :
       {"", "input.txt", "na\u00efve", "a\nb\"c\\", "100%41", "%", "caf\xe9.txt", "\xff\xfe\x80",
        "bytes:", "bytes:%E9", "\xe9%E9 %", "\x01\xff"}) {
    CAPTURE(bytes);
    const std::string text = to_json_string(bytes);
    CHECK(json::parse(json(text).dump()) == text);  // which dump() can hold
    CHECK(from_json_string(text) == bytes);
  }
  CHECK(to_json_string("na\u00efve") == "na\u00efve");
  CHECK(to_json_string("caf\xe9 1%.txt") == "bytes:caf%E9%201%25.txt");
  // What nobody wrote is nothing else.
  for (const std::string text : {"bytes:%", "bytes:%E", "bytes:%zz", "bytes:%4"})
    CHECK(from_json_string(text) == text.substr(6));
}

TEST_CASE("moved file: found from its folder, wherever both are, or else as it was named") {
  const TempFolder folder;
  fs::create_directories(folder.path("a/run"));
  folder.write("a/input.txt", "x");
  const std::string named = folder.path("a/input.txt");
  const std::string way = way_from(folder.path("a/run"), named);
  CHECK(way == "../input.txt");
  CHECK(find_again(folder.path("a/run"), way, "other") == fs::canonical(named));
  CHECK(find_again(folder.path("a/run"), way, folder.path("a/run/../input.txt")) ==
        folder.path("a/run/../input.txt"));
  fs::rename(folder.path("a"), folder.path("b"));
  CHECK(find_again(folder.path("b/run"), way, named) ==
        fs::canonical(folder.path("b")) / "input.txt");
  fs::rename(folder.path("b/run"), folder.path("run"));
  CHECK(find_again(folder.path("run"), way, named) == named);
  CHECK(find_again(folder.path("run"), "", named) == named);
}
