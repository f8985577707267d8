// Tables show what was counted and planned, exactly.
#include "viz/drawing/tables.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <sstream>

#include "sim/text/bytes_text.h"
#include "viz/drawing/terminal_picture.h"

using namespace tplab;

namespace {

Event event(Ledger& ledger, const std::string& block, const std::string& part, Op op,
            int64_t elements, int64_t wire) {
  const Site* site = ledger.site(ledger.root(), block);
  if (!part.empty()) site = ledger.site(site, part);
  return {.site = site,
          .op = op,
          .dtype = DType::f32,
          .group_size = 2,
          .elements = elements,
          .payload_bytes = 4 * elements,
          .wire_bytes = wire};
}

}  // namespace

TEST_CASE("table: columns line up, the last without spaces behind it") {
  Table table({{"name"}, {"bytes", Table::Align::right}, {"verdict"}});
  table.row({{"a"}, {"1"}, {"ok", Ink::good}});
  table.row({{"longer"}, {"12345"}, {"wrong", Ink::bad}});
  CHECK(table.text(false) ==
        "name    bytes  verdict\n"
        "a           1  ok\n"
        "longer  12345  wrong\n");
}

TEST_CASE("table: colour changes nothing but the codes, and characters count, not bytes") {
  Table table({{"é"}, {"x"}});
  table.row({{"été", Ink::good}, {"1"}});
  CHECK(table.text(false) == "é    x\nété  1\n");
  CHECK(table.text(true) == "\x1b[1mé\x1b[0m    \x1b[1mx\x1b[0m\n\x1b[32mété\x1b[0m  1\n");
}

TEST_CASE("table: one that is too wide has headings, then words on several lines, then parts") {
  Table table({{"tp", Table::Align::right}, {"a long heading", Table::Align::right}, {"words"}});
  table.row({{"1"}, {"1.5e-10"}, {"ten, as predicted"}});
  table.row({{"2"}, {"2.5e-10"}, {"ok"}});
  CHECK(table.text(false, 40) ==
        "tp  a long heading  words\n"
        " 1         1.5e-10  ten, as predicted\n"
        " 2         2.5e-10  ok\n");
  CHECK(table.text(false, 24) ==
        "tp   a long  words\n"
        "    heading\n"
        " 1  1.5e-10  ten, as\n"
        "             predicted\n"
        " 2  2.5e-10  ok\n");
  CHECK(table.text(false, 21) ==
        "tp  a long heading\n"
        " 1         1.5e-10\n"
        " 2         2.5e-10\n"
        "\n"
        "tp  words\n"
        " 1  ten, as predicted\n"
        " 2  ok\n");
  CHECK(table.text(true, 24).find("\x1b[1mheading\x1b[0m") != std::string::npos);
}

TEST_CASE("table: nothing is lost at any width, and what is about a row stands before each part") {
  Table table(
      {{"tp", Table::Align::right}, {"dtype"}, {"error", Table::Align::right}, {"site"}, {"is"}},
      2);
  table.row({{"1"}, {"f64"}, {"1.5e-10"}, {"a.name.longer.than.everything.else"}, {"ok"}});
  table.row({{"2"}, {"f32"}, {"2.5e-10"}, {"x"}, {"漢字"}});
  for (int columns = 27; columns < 90; ++columns) {
    CAPTURE(columns);
    std::string text = table.text(false, columns);
    size_t parts = 1, keys = 0;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      CHECK(display_width(line) <= static_cast<size_t>(columns));
      parts += line.empty();
      keys += line.starts_with("tp  dtype");
    }
    CHECK(keys == parts);
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    for (const char* word : {"1.5e-10", "2.5e-10", "漢字", "ok"})
      CHECK(text.find(word) != std::string::npos);
  }
}

TEST_CASE("display_width: wide characters are two, accents and codes none") {
  CHECK(display_width("") == 0);
  CHECK(display_width("abc") == 3);
  CHECK(display_width("é…─") == 3);
  CHECK(display_width("漢字") == 4);
  CHECK(display_width("日本語 x") == 8);
  CHECK(display_width("😀") == 2);
  CHECK(display_width("e\u0301") == 1);
  CHECK(display_width("\x1b[31;1mabc\x1b[0m") == 3);
  CHECK(display_width("\xff\x80") == 2);
}

TEST_CASE("cut_at: text keeps its white space, and lines are cut where a terminal would") {
  CHECK(cut_at("one two\n  three\n", 5) == "one t\nwo\n  thr\nee\n");
  CHECK(cut_at("12345\n\n123456", 5) == "12345\n\n12345\n6");
  CHECK(cut_at("漢字漢", 5) == "漢字\n漢");
  CHECK(cut_at("", 5).empty());
}

TEST_CASE("fitted: lines go on further in, and beneath what follows the labels of an error") {
  CHECK(fitted("one two three\n  four five six\nseven\n", 9) ==
        "one two\n  three\n  four\n    five\n    six\nseven\n");
  CHECK(fitted("tplab: one two three\n  fix: four five six\n", 16) ==
        "tplab: one two\n       three\n  fix: four five\n       six\n");
  CHECK(fitted("\x1b[1mone two\x1b[0m three", 7) == "\x1b[1mone two\x1b[0m\n  three");
}

TEST_CASE("wrapped: lines end at spaces, before they are too wide, and where they ended already") {
  CHECK(wrapped("one two three", 7) == "one two\nthree");
  CHECK(wrapped("one two three", 6) == "one\ntwo\nthree");
  CHECK(wrapped("one\ntwo three four", 9) == "one\ntwo three\nfour");
  CHECK(wrapped("été été", 7) == "été été");
  CHECK(wrapped("longer-than-that a", 6) == "longer-than-that\na");
  CHECK(wrapped("", 6).empty());
}

TEST_CASE("bytes: three digits and a binary unit") {
  CHECK(bytes_text(0) == "0 B");
  CHECK(bytes_text(1023) == "1023 B");
  CHECK(bytes_text(1024) == "1.00 KiB");
  CHECK(bytes_text(24.9 * 1024 * 1024) == "24.9 MiB");
  CHECK(bytes_text(6.2e9) == "5.77 GiB");
}

TEST_CASE("ledger table: blocks that communicate alike are one row, and totals add up") {
  Ledger ledger;
  std::vector<Event> events = {event(ledger, "embed", "", Op::all_reduce, 256, 1024)};
  for (int i = 0; i < 3; ++i) {
    events.push_back(
        event(ledger, "block " + std::to_string(i), "attn", Op::all_reduce, 256, 1024));
    events.push_back(event(ledger, "block " + std::to_string(i), "mlp", Op::all_reduce, 256, 1024));
  }
  events.push_back(event(ledger, "head", "", Op::all_gather, 512, 1024));
  CHECK(ledger_table(events).text(false) ==
        "module      collectives                  payload  sent by rank 0\n"
        "embed       1 all_reduce                1.00 KiB        1.00 KiB\n"
        "blocks 0-2  3 x 2 all_reduce            6.00 KiB        6.00 KiB\n"
        "head        1 all_gather                2.00 KiB        1.00 KiB\n"
        "total       7 all_reduce, 1 all_gather  9.00 KiB        8.00 KiB\n");
}

TEST_CASE("ledger table: a block that communicates otherwise keeps a row of its own") {
  Ledger ledger;
  const std::vector<Event> events = {event(ledger, "block 0", "attn", Op::all_reduce, 256, 1024),
                                     event(ledger, "block 1", "attn", Op::all_reduce, 999, 1024),
                                     event(ledger, "block 2", "attn", Op::all_reduce, 999, 1024)};
  const std::string text = ledger_table(events).text(false);
  CHECK_THAT(text, Catch::Contains("block 0 "));
  CHECK_THAT(text, Catch::Contains("blocks 1-2"));
}

TEST_CASE("shard table: layers are folded, and a rank's bytes are the plan's") {
  const ShardPlan plan(find_preset("gpt2").config, 2);
  const std::string text = shard_table(plan, DType::f32).text(false);
  CHECK_THAT(text, Catch::Contains("\nh.*.attn.c_attn.weight "));
  CHECK_THAT(text, Catch::Contains("[2304, 768]"));
  CHECK_THAT(text, Catch::Contains("[1152, 768]"));
  CHECK_THAT(text, Catch::Contains(bytes_text(4 * plan.local_count(0))));
  CHECK_THAT(text, !Catch::Contains("h.1."));
}

TEST_CASE("memory table: ranks that are alike share a row") {
  const ShardPlan plan(find_preset("nano-cpu").config, 4);
  std::vector<RankRecord> ranks(4);
  for (RankRecord& r : ranks) r.memory.peak_bytes = 2048;
  ranks[3].memory.peak_bytes = 4096;
  const std::string text = memory_table({{plan, DType::f32, ranks}}).text(false);
  CHECK_THAT(text, Catch::Contains("0-2, each"));
  CHECK_THAT(text, Catch::Contains("2.00 KiB"));
  CHECK_THAT(text, Catch::Contains("4.00 KiB"));
}

TEST_CASE("terminal picture: markup in the text stays text, and colours become styles") {
  const std::string svg = terminal_picture("tplab <x>", "a & b\n\x1b[32mok\x1b[0m \"q\"\n");
  CHECK_THAT(svg, Catch::Contains("tplab &lt;x&gt;"));
  CHECK_THAT(svg, Catch::Contains("a &amp; b"));
  CHECK_THAT(svg, Catch::Contains("fill=\"#3fb950\">ok</tspan>"));
  CHECK_THAT(svg, !Catch::Contains("\x1b"));
  CHECK_THAT(svg, !Catch::Contains("<x>"));
  CHECK(svg == terminal_picture("tplab <x>", "a & b\n\x1b[32mok\x1b[0m \"q\"\n"));
}
