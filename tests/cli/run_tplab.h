// Runs the tplab command as a user does, and catches what it prints.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tplab::testing {

struct Ran {
  int exit_code = 0;  // 128 + the signal that ended it, as in a shell
  std::string out, err;
  nlohmann::json json() const;  // of out; a failed REQUIRE if it is not JSON
};

struct How {
  std::string input = {};             // stdin
  std::vector<std::string> env = {};  // "NAME=value", added to the environment
  bool terminal = false;              // stdout is a terminal
  // COLUMNS; 0: not set. Else so wide that nothing is wrapped; but pictures fill what there is.
  std::optional<int> columns = {};
};

// Whether this machine has pseudo-terminals; if not, says what is skipped.
bool has_terminals();

// A folder that is gone at the end of the test.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// A program that runs beside the test. The destructor kills it if it was not waited for.
class Started {
 public:
  explicit Started(std::vector<std::string> command, const How& how = {});
  ~Started();
  Started(const Started&) = delete;
  Started& operator=(const Started&) = delete;
  void send(int signal) const;
  std::string err() const;  // what it has printed so far
  Ran wait();               // once; fails a REQUIRE after five minutes

 private:
  TemporaryFolder folder_;
  pid_t pid_ = 0;
  bool has_terminal_ = false;
  Ran ran_;
};

Started start_tplab(const std::vector<std::string>& arguments, const How& how = {});
Ran tplab(const std::vector<std::string>& arguments, const How& how = {});
// The options that a message's fix speaks of and the command's --help does not know: there should
// be none. What stands in `backquotes` is of other commands.
std::vector<std::string> options_unknown_to(const std::vector<std::string>& arguments,
                                            const std::string& message);
// A shell's command line, in which $TPLAB is the command.
Ran shell(const std::string& line, const std::string& shell = "/bin/sh");

std::string fixture(const std::string& name);  // tests/fixtures/<name>
// A file or folder of ../shared/data, or empty with a warning where that is absent.
std::string shared_data(const std::string& name);

std::string file_text(const std::string& path);
void write_file(const std::string& path, const std::string& text);

}  // namespace tplab::testing
