// tplab explore's page, written by this build and opened in a browser.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "browser.h"

namespace tplab::testing {

// A page that this build wrote, and a browser to look at it.
class Look {
 public:
  explicit Look(const std::string& program, const std::vector<std::string>& more = {})
      : browser(program) {
    std::vector<std::string> command = {"explore", "-o", path()};
    command.insert(command.end(), more.begin(), more.end());
    const Ran ran = tplab(command);
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    browser.show_on(1280, 900, "light");
    browser.open(path());
  }
  std::string path() const { return folder_ / "page.html"; }

  size_t steps() { return browser.value("document.querySelectorAll('#steps option').length"); }
  size_t now() {
    return std::stoul(browser.value("document.getElementById('steps').value").get<std::string>());
  }
  // Chooses a run by keys.
  void choose(int tp, bool sp) {
    browser.key(std::to_string(tp));
    const bool is_on = browser.value("document.getElementById('sp').ariaPressed === 'true'");
    if (is_on != sp) browser.key("s");
  }

 private:
  TemporaryFolder folder_;  // before the browser, so that it is there to the end
 public:
  Browser browser;
};

inline void check_quiet(const Look& look) {
  CAPTURE(look.browser.requests(), look.browser.complaints());
  CHECK(look.browser.requests() == std::vector<std::string>{"file://" + look.path()});
  CHECK(look.browser.complaints().empty());
}

}  // namespace tplab::testing
