// What a command prints and writes: its result, messages, progress.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/terminal.h"
#include "sim/text/utf8.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

// Where results go and how they look. A reader that closes the pipe early ends the command quietly.
class Output {
 public:
  Output() = default;
  ~Output();  // without close(): what was written to -o is thrown away, the old file stays
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void add_options(CLI::App& app);         // --json, -o, --no-color
  void add_format_options(CLI::App& app);  // without -o, for commands that write a folder
  // Opens -o's file, so that an unwritable one is refused before the work. Call it first. Until
  // close() it is FILE.part, so that a command that fails does not cost the user an older result.
  // `inputs`: the files and folders that the command reads (empty: none); -o may not replace one,
  // nor --config's file, nor what stdin comes from; nor, wherever they are, weights, token files, a
  // model's or tokenizer's other files and the results of training.
  void open(std::vector<std::string> inputs = {});
  // Refuses the same of another file that the command writes, by `option` (empty: none); and -o's.
  void check_result(const std::string& option, const std::string& path,
                    std::vector<std::string> inputs) const;
  bool json() const { return json_; }
  bool terminal() const;                             // a person is reading
  const std::string& path() const { return path_; }  // -o's; empty: stdout
  bool colour() const;
  int columns() const;  // of its text: terminal_columns(), and 80 in a file

  // A text that a model or a person wrote: harmless() where a terminal would obey it.
  std::string safe(const std::string& text) const;
  void text(const std::string& text);   // as it is
  void lines(const std::string& text);  // for people: broken to fit columns()
  // --json's, indented. What every document begins with is put in front: its schema, as
  // "tplab/verify/1", the version, the command and its options.
  void document(const nlohmann::ordered_json& doc);
  // Each throws as fail_write does if anything could not be written.
  void flush();
  // Says what was written to -o, how large it is, and how to open it: as `how` says, else as the
  // file's ending does.
  void close(const std::string& how = "");

 private:
  bool json_ = false, no_color_ = false;
  const CLI::App* command_ = nullptr;  // whose output this is
  std::string path_;
  std::string part_;  // what file_ is called until close(); empty if it is no regular file
  std::FILE* file_ = stdout;
  int error_ = 0;  // errno of the first write that failed

  void refuse_to_replace(const std::string& option, const std::string& path,
                         std::vector<std::string> inputs) const;
};

// "wrote out/a.svg (3.1 KiB): open it in a browser", to stderr.
void say_written(const std::string& path, int64_t bytes, const std::string& how);
void say_written(const std::string& path, const std::string& how);  // as large as it is

// Writes a message, printable whatever names are in it, and broken to fit the terminal. One that
// cannot be written (a full disk, a closed stderr) is dropped: it must not cost the user the work
// it is about.
template <class... Args>
void to_stderr(fmt::format_string<Args...> format, Args&&... args) {
  const std::string text =
      fitted(printable(fmt::format(format, std::forward<Args>(args)...)), terminal_columns());
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// A bar on stderr, drawn only on a terminal and only once the work has taken two seconds.
class Progress {
 public:
  Progress();
  ~Progress() { erase(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void show(const std::string& what, double done);  // done: 0 to 1
  void erase();                                     // before anything else is printed

 private:
  bool terminal_;
  int64_t start_ns_, drawn_ns_ = 0;
};

}  // namespace tplab::cli
