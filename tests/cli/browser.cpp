#include "browser.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

extern char** environ;

namespace tplab::testing {

namespace {

using Json = nlohmann::json;

constexpr int kPatience_ms = 60'000;

// Key codes of what has no letter; a letter's is that of its capital.
const std::map<std::string, int> kKeyCodes = {
    {"Tab", 9},   {"Enter", 13},     {"Escape", 27},  {" ", 32},          {"End", 35},
    {"Home", 36}, {"ArrowLeft", 37}, {"ArrowUp", 38}, {"ArrowRight", 39}, {"ArrowDown", 40}};

std::string decode_base64(const std::string& text) {
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (const char c : text) {
    const size_t digit = digits.find(c);
    if (digit == std::string::npos) break;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

}  // namespace

std::string chromium() {
  const char* const path = std::getenv("PATH");
  for (const char* const name : {"chromium", "chromium-browser", "google-chrome"}) {
    std::istringstream folders(path ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
      const std::string program = folder + "/" + name;
      if (access(program.c_str(), X_OK) == 0) return program;
    }
  }
  WARN("skipped: Chromium is not installed (the package chromium)");
  return "";
}

Browser::Browser(const std::string& program) {
  std::array<int, 2> commands{}, answers{};
  REQUIRE(pipe2(commands.data(), O_CLOEXEC) == 0);
  REQUIRE(pipe2(answers.data(), O_CLOEXEC) == 0);
  to_ = commands[1];
  from_ = answers[0];
  std::vector<std::string> words = {program,
                                    "--headless",
                                    "--no-sandbox",  // tests may run as root
                                    "--disable-gpu",
                                    "--disable-dev-shm-usage",
                                    "--disable-background-networking",
                                    "--hide-scrollbars",
                                    "--no-first-run",
                                    "--user-data-dir=" + folder_ / "profile",
                                    "--remote-debugging-pipe",
                                    "about:blank"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, commands[0], 3);
  posix_spawn_file_actions_adddup2(&actions, answers[1], 4);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawnattr_t attributes;  // a group of its own, so that all its processes end with it
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error =
      posix_spawn(&pid_, program.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(commands[0]);
  close(answers[1]);
  REQUIRE(error == 0);

  const Json target = call("Target.createTarget", {{"url", "about:blank"}});
  session_ = call("Target.attachToTarget",
                  {{"targetId", target["targetId"]}, {"flatten", true}})["sessionId"];
  for (const char* const domain : {"Page", "Runtime", "Log", "Network"})
    call(std::string(domain) + ".enable");
}

Browser::~Browser() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(to_);
  close(from_);
}

Json Browser::receive() {
  size_t end;
  while ((end = received_.find('\0')) == std::string::npos) {
    pollfd ready{from_, POLLIN, 0};
    if (poll(&ready, 1, kPatience_ms) != 1) FAIL("the browser does not answer");
    std::array<char, 1 << 16> part;
    const ssize_t count = read(from_, part.data(), part.size());
    if (count <= 0) FAIL("the browser ended");
    received_.append(part.data(), static_cast<size_t>(count));
  }
  const Json message = Json::parse(received_.substr(0, end));
  received_.erase(0, end + 1);
  return message;
}

void Browser::note(const Json& event) {
  const std::string method = event.value("method", "");
  const Json parameters = event.value("params", Json::object());
  if (method == "Page.loadEventFired") loaded_ = true;
  if (method == "Network.requestWillBeSent")
    requests_.push_back(parameters["request"]["url"].get<std::string>());
  const bool is_said = method == "Runtime.consoleAPICalled";
  if (method == "Runtime.exceptionThrown" || is_said || method == "Log.entryAdded")
    complaints_.push_back(parameters.dump());
}

Json Browser::call(const std::string& method, Json parameters) {
  Json message = {{"id", ++last_id_}, {"method", method}};
  if (!parameters.is_null()) message["params"] = std::move(parameters);
  if (!session_.empty()) message["sessionId"] = session_;
  const std::string text = message.dump() + '\0';
  for (size_t at = 0; at < text.size();) {
    const ssize_t count = write(to_, text.data() + at, text.size() - at);
    if (count <= 0) FAIL("the browser takes no commands");
    at += static_cast<size_t>(count);
  }
  while (true) {
    const Json answer = receive();
    if (answer.value("id", 0) != last_id_) {
      note(answer);
      continue;
    }
    if (answer.contains("error")) FAIL(method << ": " << answer["error"].dump());
    return answer["result"];
  }
}

void Browser::open(const std::string& path) {
  requests_.clear();
  complaints_.clear();
  call("Page.navigate", {{"url", "about:blank"}});  // so that another #place is a new page too
  while (!loaded_) note(receive());
  requests_.clear();
  loaded_ = false;
  call("Page.navigate", {{"url", "file://" + path}});
  while (!loaded_) note(receive());
  loaded_ = false;
}

Json Browser::value(const std::string& expression) {
  const Json answer =
      call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}});
  if (answer.contains("exceptionDetails")) FAIL(expression << ": " << answer.dump());
  return answer["result"].value("value", Json());
}

std::string Browser::text(const std::string& selector) {
  return value("document.querySelector('" + selector + "').textContent").get<std::string>();
}

void Browser::key(const std::string& name) {
  const bool is_letter = name.size() == 1;
  const int code =
      kKeyCodes.count(name) > 0 ? kKeyCodes.at(name) : std::toupper(static_cast<int>(name[0]));
  Json down = {{"type", "keyDown"}, {"key", name}, {"windowsVirtualKeyCode", code}};
  if (is_letter) down["text"] = name;
  if (name == "Enter") down["text"] = "\r";
  call("Input.dispatchKeyEvent", down);
  call("Input.dispatchKeyEvent",
       {{"type", "keyUp"}, {"key", name}, {"windowsVirtualKeyCode", code}});
}

void Browser::type(const std::string& text) { call("Input.insertText", {{"text", text}}); }

Json Browser::middle_of(const std::string& selector) {
  return value("(() => { const e = document.querySelector('" + selector +
               "'); e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
               "return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()");
}

void Browser::mouse(const char* type, const Json& at, int buttons) {
  call("Input.dispatchMouseEvent", {{"type", type},
                                    {"x", at["x"]},
                                    {"y", at["y"]},
                                    {"button", buttons ? "left" : "none"},
                                    {"clickCount", buttons}});
}

void Browser::point_at(const std::string& selector) { mouse("mouseMoved", middle_of(selector), 0); }

void Browser::click(const std::string& selector) {
  const Json at = middle_of(selector);
  mouse("mouseMoved", at, 0);
  mouse("mousePressed", at, 1);
  mouse("mouseReleased", at, 1);
}

void Browser::show_on(int width, int height, const std::string& scheme) {
  call("Emulation.setDeviceMetricsOverride",
       {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", false}});
  call("Emulation.setEmulatedMedia",
       {{"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
}

void Browser::screenshot(const std::string& path) {
  const std::string image = call("Page.captureScreenshot")["data"];
  std::ofstream(path, std::ios::binary) << decode_base64(image);
}

}  // namespace tplab::testing
