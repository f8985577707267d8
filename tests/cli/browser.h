// A page in a real browser: Chromium without a screen, told what to do over its DevTools pipe.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "run_tplab.h"

namespace tplab::testing {

// Where Chromium is, or empty with a warning where it is not installed.
std::string chromium();

// One page. It remembers what it asked the network for and what it complained of.
//   source: the Chrome DevTools Protocol: JSON messages, each ended by NUL, on descriptors 3 and 4
class Browser {
 public:
  explicit Browser(const std::string& program);
  ~Browser();
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void open(const std::string& path);  // a file; returns when it is loaded
  // A command of the protocol and its result; fails a REQUIRE on an error or after a minute.
  nlohmann::json call(const std::string& method, nlohmann::json parameters = {});
  // The value of a JavaScript expression.
  nlohmann::json value(const std::string& expression);
  std::string text(const std::string& selector);  // of the first element
  void key(const std::string& name);              // "ArrowRight", "Tab", " ", "s"
  void type(const std::string& text);             // into what has the focus
  void click(const std::string& selector);        // with the pointer, in the middle
  void point_at(const std::string& selector);
  // A screen of this size, in "dark" or "light".
  void show_on(int width, int height, const std::string& scheme);
  void screenshot(const std::string& path);  // a PNG of what is on the screen

  const std::vector<std::string>& requests() const { return requests_; }  // URLs
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  nlohmann::json receive();
  void note(const nlohmann::json& event);
  nlohmann::json middle_of(const std::string& selector);
  void mouse(const char* type, const nlohmann::json& at, int buttons);

  TemporaryFolder folder_;
  pid_t pid_ = 0;
  int to_ = -1, from_ = -1;
  int last_id_ = 0;
  bool loaded_ = false;
  std::string session_, received_;
  std::vector<std::string> requests_, complaints_;
};

}  // namespace tplab::testing
