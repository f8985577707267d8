#include "run_tplab.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>

extern char** environ;

namespace tplab::testing {

namespace fs = std::filesystem;

namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment(const How& how, bool picture) {
  std::vector<std::string> all = how.env;
  const int columns = how.columns.value_or(picture ? 80 : 1000);
  if (columns > 0) all.push_back(fmt::format("COLUMNS={}", columns));
  all.emplace_back("TERM=xterm");  // the first of a name counts
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("NO_COLOR=") && !text.starts_with("COLUMNS=")) all.emplace_back(text);
  }
  return all;
}

// A pseudo-terminal's two ends.
struct Terminal {
  int master = -1;
  std::string slave;
  Terminal() : master(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return;
    slave = ptsname(master);
    const int end = open(slave.c_str(), O_WRONLY | O_NOCTTY);
    if (end < 0) slave.clear();
    if (end >= 0) close(end);
  }
  // Until the program at the other end is gone.
  std::string read_all() const {
    std::string text;
    std::array<char, 4096> part;
    ssize_t count;
    while ((count = read(master, part.data(), part.size())) > 0)
      text.append(part.data(), static_cast<size_t>(count));
    close(master);
    return text;
  }
};

}  // namespace

nlohmann::json Ran::json() const {
  INFO(err);
  nlohmann::json document = nlohmann::json::parse(out, nullptr, false);
  REQUIRE(!document.is_discarded());
  return document;
}

Started::Started(std::vector<std::string> command, const How& how) {
  const std::string in = folder_ / "in";
  write_file(in, how.input);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const auto redirect = [&](int fd, const std::string& path, int flags) {
    posix_spawn_file_actions_addopen(&actions, fd, path.c_str(), flags, 0600);
  };
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  std::optional<Terminal> terminal;
  if (how.terminal) {
    terminal.emplace();
    REQUIRE(!terminal->slave.empty());
  }
  redirect(STDIN_FILENO, in, O_RDONLY);
  redirect(STDOUT_FILENO, terminal ? terminal->slave : folder_ / "out",
           terminal ? O_WRONLY | O_NOCTTY : kWrite);
  redirect(STDERR_FILENO, folder_ / "err", kWrite);
  posix_spawnattr_t attributes;  // whatever runs the tests may ignore these
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> env = environment(how, command.size() > 1 && command[1] == "draw");
  const int error = posix_spawn(&pid_, command[0].c_str(), &actions, &attributes,
                                pointers(command).data(), pointers(env).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE(error == 0);
  if (terminal) ran_.out = terminal->read_all();
  has_terminal_ = how.terminal;
}

Started::~Started() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Started::send(int signal) const { REQUIRE(::kill(pid_, signal) == 0); }

std::string Started::err() const { return file_text(folder_ / "err"); }

Ran Started::wait() {
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; i < 30000 && ended == 0; ++i) {  // most end in milliseconds
    if (i > 0) usleep(i < 1000 ? 1000 : 10'000);
    ended = waitpid(pid_, &status, WNOHANG);
  }
  if (ended == 0) FAIL("a program that should have ended runs on: " << err());
  REQUIRE(ended == pid_);
  pid_ = 0;
  ran_.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  if (!has_terminal_) ran_.out = file_text(folder_ / "out");
  ran_.err = err();
  return ran_;
}

bool has_terminals() {
  const Terminal terminal;
  if (terminal.master >= 0) close(terminal.master);
  if (!terminal.slave.empty()) return true;
  WARN("skipped: this machine has no pseudo-terminal");
  return false;
}

Started start_tplab(const std::vector<std::string>& arguments, const How& how) {
  std::vector<std::string> command = {TPLAB_COMMAND};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return Started(command, how);
}

Ran tplab(const std::vector<std::string>& arguments, const How& how) {
  return start_tplab(arguments, how).wait();
}

std::vector<std::string> options_unknown_to(const std::vector<std::string>& arguments,
                                            const std::string& message) {
  const size_t begin = message.find("fix: ");
  if (begin == message.npos) return {};
  const std::string fix = std::regex_replace(message.substr(begin), std::regex("`[^`]*`"), "");
  std::vector<std::string> command;
  for (const std::string& word : arguments) {
    if (word.starts_with("-") || command.size() == 2) break;
    command.push_back(word);
  }
  std::string help;
  for (; help.empty(); command.pop_back()) {  // two words name a command of bench, or a kind
    std::vector<std::string> asking = command;
    asking.emplace_back("--help");
    const Ran ran = tplab(asking);
    if (ran.exit_code == 0) help = ran.out;
    if (command.empty()) break;
  }
  std::vector<std::string> unknown;
  const std::regex option("--[a-z][a-z-]*");
  for (auto it = std::sregex_iterator(fix.begin(), fix.end(), option); it != std::sregex_iterator();
       ++it)
    if (!std::regex_search(help, std::regex(it->str() + "(?![a-z-])")))
      unknown.push_back(it->str());
  return unknown;
}

Ran shell(const std::string& line, const std::string& shell) {
  return Started({shell, "-c", line}, {.env = {std::string("TPLAB=") + TPLAB_COMMAND}}).wait();
}

std::string fixture(const std::string& name) {
  return std::string(TPLAB_SOURCE_DIR) + "/tests/fixtures/" + name;
}

std::string shared_data(const std::string& name) {
  const std::string path = std::string(TPLAB_SOURCE_DIR) + "/../shared/data/" + name;
  if (fs::exists(path)) return path;
  WARN("skipped: " << path << " is not on this machine");
  return "";
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "tplab-test-XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path_ = name;
}
TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace tplab::testing
