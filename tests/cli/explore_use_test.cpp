// tplab explore's page as one works it and looks at it, and the command that writes it.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <set>

#include "explore_look.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

TEST_CASE("explore: numbers are seen whole, by pointer and by keyboard") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  look.choose(4, false);
  browser.value("go(run().steps.findIndex(s => s.site === 'block 0/attn/qkv'))");
  const auto label = [&](const std::string& cell) {
    return browser.value("document.querySelector('" + cell + "').ariaLabel").get<std::string>();
  };
  const std::string third = "[data-rank=\"2\"] tbody tr:nth-child(2) td:nth-child(4)";
  browser.point_at(third);
  CHECK(browser.text("#detail") == label(third));
  CHECK_THAT(label(third), Contains("rank 2, [0, 1, 2] here, [0, 1, 12] in the whole, varying: "));
  // In among the cells, along a row, down, and out again.
  browser.value("document.querySelector('[data-rank=\"2\"] td').focus()");
  for (const char* const key : {"ArrowRight", "ArrowRight", "ArrowDown"}) browser.key(key);
  CHECK(browser.value("document.activeElement.ariaLabel") == label(third));
  CHECK(browser.text("#detail") == label(third));
  const size_t before = look.now();
  browser.key("Escape");
  browser.key("ArrowRight");
  CHECK(look.now() == before + 1);
  browser.click("#run-3-step-3");  // a box of the diagram
  CHECK(look.now() == 3);
}

TEST_CASE("explore: everything that can be worked has a name, and the focus can be seen") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  browser.call("Accessibility.enable");
  const std::set<std::string> worked = {"button",  "radio",  "combobox", "gridcell", "grid",
                                        "textbox", "option", "image",    "region",   "group"};
  for (const char* const key : {"4", "p"}) browser.key(key);
  int named = 0;
  const json tree = browser.call("Accessibility.getFullAXTree");
  for (const json& node : tree["nodes"]) {
    if (node["ignored"] == true) continue;
    bool is_worked = worked.count(node["role"].value("value", "")) > 0;
    for (const json& property : node.value("properties", json::array()))
      is_worked =
          is_worked || (property["name"] == "focusable" && property["value"]["value"] == true);
    if (!is_worked) continue;
    CAPTURE(node.dump());
    CHECK_FALSE(node["name"].value("value", "").empty());
    ++named;
  }
  CHECK(named > 4 * 32);
  std::set<std::string> reached;
  for (int i = 0; i < 40; ++i) {
    browser.key("Tab");
    const json focus = browser.value(
        "(() => { const e = document.activeElement; return {id: e.id, body: e === document.body,"
        "outline: getComputedStyle(e).outlineStyle, width: getComputedStyle(e).outlineWidth}; "
        "})()");
    if (focus["body"] == true) continue;
    CAPTURE(focus.dump());
    if (focus["id"] != "panel") CHECK(focus["outline"] == "solid");
    reached.insert(focus["id"].get<std::string>());
  }
  for (const char* const id : {"sp", "predict", "theme", "next", "steps", "diagrams", "guess"})
    CHECK(reached.count(id) == 1);
}

// The least contrast between a number and its cell, WCAG 2.1's: (L1 + 0.05) / (L2 + 0.05).
double least_contrast(Browser& browser) {
  return browser.value(R"((() => {
    const parse = (text) => text.match(/[\d.]+/g).map(Number);
    const paper = parse(getComputedStyle(document.body).backgroundColor);
    const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) =>
      c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    return Math.min(...[...document.querySelectorAll('td')].map((td) => {
      const style = getComputedStyle(td), [r, g, b, a = 1] = parse(style.backgroundColor);
      const under = [r, g, b].map((c, i) => c * a + paper[i] * (1 - a));
      const [high, low] = [light(under), light(parse(style.color))].sort((x, y) => y - x);
      return (high + 0.05) / (low + 0.05);
    }));
  })())");
}

TEST_CASE("explore: a narrow screen, dark and light") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  const auto paper = [&] {
    return browser.value("getComputedStyle(document.body).backgroundColor").get<std::string>();
  };
  const std::string light = paper();
  browser.show_on(360, 700, "dark");
  const std::string dark = paper();
  CHECK(light == "rgb(255, 255, 255)");
  CHECK(dark != light);
  // 4.5 is what WCAG 2.1 asks of text (AA).
  look.choose(4, false);
  for (const char* const scheme : {"light", "dark"}) {
    browser.show_on(360, 700, scheme);
    for (const int step : {2, 6, 9}) {
      browser.value(fmt::format("go({})", step));
      CHECK(least_contrast(browser) >= 4.5);
    }
  }
  browser.key("p");
  for (const int tp : {1, 4}) {
    look.choose(tp, tp > 1);
    browser.key("Home");
    for (size_t i = 0; i < look.steps(); ++i) {
      CAPTURE(tp, i);
      CHECK(browser.value("document.documentElement.scrollWidth").get<int>() <= 360);
      browser.key("ArrowRight");
    }
  }
  browser.key("t");  // dark, whatever the system says
  browser.show_on(1280, 900, "light");
  CHECK(paper() == dark);
  browser.key("t");
  browser.show_on(1280, 900, "dark");
  CHECK(paper() == light);
}

TEST_CASE("explore: pictures of the page for people to look at are left in the build folder") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  const std::filesystem::path folder = std::string(TPLAB_BINARY_DIR) + "/explore";
  std::filesystem::create_directories(folder);
  const auto picture = [&](const char* name, int width, const char* scheme, const char* step) {
    browser.show_on(width, width > 500 ? 1000 : 1400, scheme);
    browser.value("window.scrollTo(0, 0)");
    browser.value(fmt::format("go(run().steps.findIndex(s => s.site === '{}'))", step));
    browser.screenshot(folder / (std::string(name) + ".png"));
    CHECK(file_text(folder / (std::string(name) + ".png")).size() > 20'000);
  };
  look.choose(4, false);
  picture("light", 1280, "light", "block 0/attn");
  picture("narrow", 380, "light", "block 0/attn");
  look.choose(1, false);
  picture("wide", 1280, "light", "block 0/mlp/fc");
  look.choose(4, true);
  picture("small-gradients", 1280, "light", "small gradients");
  picture("loss", 1280, "dark", "head/loss");
  look.choose(2, true);
  browser.key("p");
  picture("dark", 1280, "dark", "block 0/attn");
  picture("narrow-dark", 380, "dark", "block 0/mlp/fc");
}

TEST_CASE("explore: other sizes make a page too, and without diagrams") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program, {"--layers", "2", "--width", "16", "--seed", "7", "--no-diagram"});
  look.choose(4, true);
  look.browser.key("End");
  CHECK(look.now() + 1 == look.steps());
  CHECK_THAT(look.browser.text("#diagrams"), Contains("without diagrams"));
  CHECK_THAT(look.browser.text("#model"), Contains("2 blocks of 4 heads, 16 wide"));
  check_quiet(look);
}

TEST_CASE("explore: the page is the same from run to run, and small") {
  const Ran first = tplab({"explore"}), second = tplab({"explore"});
  if (first.exit_code == 4) {
    WARN("skipped: " << first.err);
    return;
  }
  CHECK(first.exit_code == 0);
  CHECK(first.out == second.out);
  CHECK(first.out.size() < 2'000'000);
  CHECK(tplab({"explore", "--seed", "2"}).out != first.out);
}

TEST_CASE("explore: sizes that it cannot show are refused, and Graphviz' absence is told") {
  const auto refused = [](const std::vector<std::string>& more, const std::string& fix) {
    std::vector<std::string> command = {"explore"};
    command.insert(command.end(), more.begin(), more.end());
    const Ran ran = tplab(command);
    CHECK(ran.exit_code == 2);
    CHECK_THAT(ran.err, Contains(fix));
  };
  refused({"--heads", "3"}, "use --heads 4 or 8");
  refused({"--width", "18"}, "a multiple of 4, at most 32");
  refused({"--layers", "5"}, "use 1 to 4");
  refused({"--length", "6"}, "use --length 4 or 8");
  refused({"--layers", "0"}, "--layers");
  refused({"--layers", "4", "--width", "32", "--length", "8"}, "use fewer layers");
  if (!has_terminals()) return;
  const Ran shown = tplab({"explore"}, {.terminal = true});
  CHECK(shown.exit_code == 2);
  CHECK_THAT(shown.err, Contains("-o explore.html"));
  const Ran bare = shell("PATH=/nowhere \"$TPLAB\" explore");
  CHECK(bare.exit_code == 4);
  CHECK(bare.out.empty());
  CHECK_THAT(bare.err, Contains("graphviz") && Contains("--no-diagram"));
  const Ran plain = shell("PATH=/nowhere \"$TPLAB\" explore --no-diagram");
  CHECK(plain.exit_code == 0);
}

}  // namespace
}  // namespace tplab
