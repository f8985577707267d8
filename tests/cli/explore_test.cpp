// What tplab explore's page shows, held against the ledgers' numbers, the source and the run.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "explore_look.h"

namespace tplab {
namespace {

using namespace testing;
using Catch::Contains;
using nlohmann::json;

std::vector<json> runs_of_json() {
  const Ran ran = tplab({"explore", "--json"});
  REQUIRE(ran.exit_code == 0);
  return ran.json()["runs"].get<std::vector<json>>();
}

// Where the last step of each run shows other counts than the ledgers had; empty if nowhere.
std::string disagreement(Look& look) {
  for (const json& run : runs_of_json()) {
    look.choose(run["tp"], run["sp"]);
    look.browser.key("End");
    const auto shown = look.browser.value(
        "[...document.querySelectorAll('#counters [data-bytes]')].map(e => ({sync_points:"
        "Number(document.querySelector('#sync b').textContent),"
        "bytes: Number(e.querySelector('b').textContent.replaceAll(',', ''))}))");
    if (std::stod(look.browser.text("#loss")) != run["loss"].get<double>())
      return fmt::format("the loss is shown as {}", look.browser.text("#loss"));
    if (look.steps() != run["steps"] || shown != run["ranks"])
      return fmt::format("tp {}, SP {}: shown {} in {} steps, counted {} in {}", run["tp"].dump(),
                         run["sp"].dump(), shown.dump(), look.steps(), run["ranks"].dump(),
                         run["steps"].dump());
  }
  return "";
}

TEST_CASE("explore: the page opens from disk without a request, and keys step to its end") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  for (const int tp : {2, 4}) {
    look.choose(tp, true);
    look.browser.key("Home");
    CHECK(look.now() == 0);
    const size_t steps = look.steps();
    CHECK(steps > 25);
    for (size_t i = 1; i < steps; ++i) {
      look.browser.key(i % 2 ? "ArrowRight" : " ");
      REQUIRE(look.now() == i);
      // The diagram marks the same step, where it can be seen.
      const json mark = look.browser.value(
          "(() => { const marks = document.querySelectorAll('#diagrams .here');"
          "const a = marks[0].getBoundingClientRect();"
          "const b = document.getElementById('diagrams').getBoundingClientRect();"
          "return {ids: [...marks].map(m => m.id), seen: a.top >= b.top && a.bottom <= b.bottom &&"
          "a.height > 10}; })()");
      REQUIRE(mark["ids"].size() == 1);
      CHECK_THAT(mark["ids"][0].get<std::string>(), Catch::EndsWith(fmt::format("-step-{}", i)));
      CHECK(mark["seen"] == true);
      CHECK_THAT(look.browser.text("#live"), Contains(fmt::format("Step {} of {}", i + 1, steps)));
    }
    look.browser.key("ArrowRight");
    CHECK(look.now() == steps - 1);
    look.browser.key("ArrowLeft");
    CHECK(look.now() == steps - 2);
  }
  check_quiet(look);
}

TEST_CASE("explore: switching tp and SP shows each run's numbers, which are the ledgers'") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  CHECK(disagreement(look).empty());
  check_quiet(look);
  // What is switched is what is seen: ranks, their parts, the collectives, the code beneath S::.
  look.choose(4, false);
  look.browser.value("go(run().steps.findIndex(s => s.site === 'block 0/attn' && s.op))");
  const auto ranks = [&] {
    return look.browser.value("document.querySelectorAll('[data-side=after] .rank').length")
        .get<int>();
  };
  CHECK(ranks() == 4);
  CHECK_THAT(look.browser.text("#title"), Contains("all-reduce"));
  CHECK_THAT(look.browser.text("#code"), Contains("return leave(std::move(y), "));
  look.browser.click("#sp");
  look.browser.value(
      "go(run().steps.findIndex(s => s.site === 'block 0/attn' && s.op === 'reduce_scatter'))");
  CHECK_THAT(look.browser.text("#title"), Contains("reduce-scatter"));
  CHECK_THAT(look.browser.text("#code"), Contains("return scatter_sum(y, "));
  look.browser.click("#tp input[value=\"2\"]");
  CHECK(ranks() == 2);
  CHECK_THAT(look.browser.text("#title"), Contains("reduce-scatter"));  // stays at the same step
  for (const bool sp : {false, true, false}) {
    look.choose(4, sp);
    look.browser.value("go(run().steps.findIndex(s => s.site === 'block 0/mlp/fc'))");
    look.choose(4, !sp);
    CHECK_THAT(look.browser.text("#title"), Contains("block 0/mlp/fc"));
  }
}

TEST_CASE("explore: a page whose numbers are not the run's is noticed") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::string page = file_text(look.path());
  const size_t at = page.find("\"wire\":[") + 8;
  REQUIRE(page.find("\"wire\":[") != std::string::npos);
  page[at] = page[at] == '9' ? '8' : '9';
  write_file(look.path(), page);
  look.browser.open(look.path());
  CHECK_THAT(disagreement(look), Contains("tp 2, SP false"));
  CHECK(look.browser.complaints().empty());
  // Nor does a page stay unnoticed that asks for something or complains.
  page = std::regex_replace(page, std::regex("<meta http-equiv[^>]*>"), "");
  page.replace(page.find("</main>"), 7,
               "</main><img src='absent.png' alt=''><script>console.error('so')</script>");
  write_file(look.path(), page);
  look.browser.open(look.path());
  CHECK(look.browser.requests().size() == 2);
  CHECK_FALSE(look.browser.complaints().empty());
}

TEST_CASE("explore: the line shown for a step is that line of the source") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::set<std::string> files;
  for (const json& run : runs_of_json()) {
    look.choose(run["tp"], run["sp"]);
    look.browser.key("Home");
    for (size_t i = 0; i < look.steps(); ++i) {
      std::istringstream where(
          look.browser.text("#code .file"));  // "model/layers/mlp.cpp, line 24"
      std::string file, word, line, wanted;
      int number = 0;
      where >> file >> word >> number;
      file.pop_back();
      files.insert(file);
      std::ifstream source(std::string(TPLAB_SOURCE_DIR) + "/" + file);
      for (int n = 0; n < number; ++n) std::getline(source, wanted);
      CHECK(look.browser.text("#code .line-here") == fmt::format("{}{}", number, wanted));
      look.browser.key("ArrowRight");
    }
  }
  CHECK(files.size() == 8);
}

// The cells of the tensor that is shown: where each is in the whole, and its number, by rank.
std::vector<json> cells(Browser& browser) {
  return browser.value(
      "[...document.querySelectorAll('#values td')].map(td => ({rank: Number(td.closest('.rank')"
      ".dataset.rank), at: /(\\[[^\\]]*\\]) in the whole/.exec(td.ariaLabel)[1],"
      "value: Number(td.dataset.value)}))");
}

// The first cell that is not where the run on one rank has its number; empty if there is none.
std::string misplaced(const std::vector<json>& parts, const std::map<std::string, double>& whole) {
  double largest = 0;
  for (const auto& [at, value] : whole) largest = std::max(largest, std::fabs(value));
  for (const json& cell : parts) {
    const auto found = whole.find(cell["at"]);
    if (found == whole.end()) return cell.dump() + " is nowhere";
    // Ranks add in another order. A number is at most some 20 sums deep, of at most 64 terms of
    // f32: 20 64 2^-24 of the largest, 8e-5, times 10 where a norm divides by a small deviation.
    if (!(std::fabs(cell["value"].get<double>() - found->second) <= 8e-4 * largest))
      return fmt::format("{}, where one rank has {}", cell.dump(), found->second);
  }
  return "";
}

TEST_CASE("explore: a cell's place in the whole is where one rank has the same number") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  std::map<std::string, std::map<std::string, double>> wholes;  // by the step's name
  look.choose(1, false);
  const auto each_tensor = [&](auto&& body) {
    for (size_t i = 0; i < look.steps(); ++i) {
      look.browser.value(fmt::format("go({})", i));
      if (look.browser.value("Boolean(step().op)")) continue;
      body(look.browser.value("step().phase + ' ' + step().site").get<std::string>());
    }
  };
  each_tensor([&](const std::string& name) {
    for (const json& cell : cells(look.browser)) wholes[name][cell["at"]] = cell["value"];
  });
  for (const int tp : {2, 4}) {
    for (const bool sp : {false, true}) {
      CAPTURE(tp, sp);
      look.choose(tp, sp);
      each_tensor([&](const std::string& name) {
        CAPTURE(name);
        const std::vector<json> shown = cells(look.browser);
        std::set<std::string> places;
        for (const json& cell : shown) places.insert(cell["at"]);
        CHECK(places.size() == wholes[name].size());  // nothing is missing
        CHECK(misplaced(shown, wholes[name]).empty());
        if (name == "forward block 0/attn/qkv") {  // the check sees ranks that are swapped
          std::vector<json> swapped = shown;
          for (size_t i = 0; i < shown.size(); ++i)
            swapped[i]["value"] = shown[(i + shown.size() / 2) % shown.size()]["value"];
          CHECK_FALSE(misplaced(swapped, wholes[name]).empty());
        }
      });
    }
  }
}

TEST_CASE("explore: predictions are answered by the run: right, wrong and shown") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  Browser& browser = look.browser;
  for (const int tp : {2, 4}) {
    for (const std::string op : {"all_reduce", "reduce_scatter", "all_gather"}) {
      CAPTURE(tp, op);
      look.choose(tp, op != "all_reduce");
      if (browser.value("state.predict") == false) browser.key("p");
      browser.value("go(run().steps.findIndex(s => s.site === 'block 0/mlp' && s.op === '" + op +
                    "'))");
      CHECK(browser.value("[...document.querySelectorAll('[data-side=after] td')].every(td => "
                          "td.textContent === '?' && td.dataset.value === undefined)") == true);
      // What the reader can work out from the cells before: at the place that is asked about, the
      // sum over the ranks, or the one rank's number.
      const std::string question = browser.text("#quiz legend");
      const std::string at =
          question.substr(question.find('['), question.find(']') - question.find('[') + 1);
      double answer = 0;
      for (const json& cell : cells(browser))
        if (cell["at"] == at && cell["value"].is_number()) answer += cell["value"].get<double>();
      answer *= std::pow(10.0, -browser.value("unitOf(step())").get<int>());
      const auto say = [&](const std::string& text) {
        browser.value("document.getElementById('guess').value = ''");
        browser.click("#guess");
        browser.type(text);
        browser.key("Enter");
        return browser.text("#guess-verdict");
      };
      CHECK_THAT(say("a lot"), Contains("no number"));
      CHECK_THAT(say(fmt::format("{:.3f}", answer + 3 * tp + answer)), Contains("Not so"));
      CHECK(browser.text("[data-side=\"after\"] td") == "?");
      CHECK_THAT(say(fmt::format("{:.2f}", answer)), Contains("Right"));
      CHECK(browser.text("[data-side=\"after\"] td") != "?");
      // Of the choices exactly one is right, in each question.
      for (const std::string id : {"ask-shape", "ask-bytes"}) {
        const int count = browser.value("document.querySelectorAll('#" + id + " button').length");
        CHECK(count >= 2);
        int right = 0;
        for (int i = 1; i <= count; ++i) {
          browser.click(fmt::format("#{} button:nth-of-type({})", id, i));
          right += browser.text("#" + id + "-verdict").find("Right") != std::string::npos;
        }
        CHECK(right == 1);
      }
    }
  }
  // Several parameters in one tensor, and padding: the place is the parameter's.
  look.choose(4, true);
  browser.value("go(run().steps.findIndex(s => s.site === 'small gradients'))");
  const std::string question = browser.text("#quiz legend");
  const std::string place = browser.value(
      "/hold at (\\S+) of the whole/.exec(document.querySelector('#quiz legend').textContent)[1]");
  CAPTURE(question);
  CHECK(browser.value("/^(h\\.0|ln_f)\\..*(weight|bias)\\[[0-7]\\]$/.test('" + place + "')") ==
        true);
  CHECK(browser.value("document.querySelector('td.asked').ariaLabel.includes(' " + place +
                      " in the whole')") == true);
  CHECK_THAT(browser.text("[data-side=before] h4"), Contains("[128], 64 of them padding"));
  look.choose(4, false);
  browser.value("go(run().steps.findIndex(s => s.site === 'embed' && s.op))");
  CHECK(browser.text("[data-side=\"after\"] td") == "?");
  browser.click("#show");
  CHECK(browser.text("[data-side=\"after\"] td") != "?");
  check_quiet(look);
}

TEST_CASE("explore: one rank is told what the sentences are of") {
  const std::string program = chromium();
  if (program.empty()) return;
  Look look(program);
  look.choose(1, false);
  CHECK_THAT(look.browser.text("#why"), Catch::StartsWith("One rank has all of it"));
  look.choose(2, false);
  CHECK_THAT(look.browser.text("#why"), !Contains("One rank has all of it"));
}

}  // namespace
}  // namespace tplab
