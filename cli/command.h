// What every subcommand shares: options with the same names and meaning, output, progress.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/terminal.h"
#include "model/weights.h"
#include "sim/dtype.h"
#include "sim/machine/ledger.h"
#include "sim/text/utf8.h"
#include "viz/drawing/table.h"

namespace tplab {
class Tokenizer;
}

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

// open_checkpoint(path). Says on stderr which weights it takes from a folder of a training run
// whose best and last differ.
std::unique_ptr<WeightSource> open_weights(const std::string& path);

// --preset NAME or --checkpoint PATH.
struct ModelChoice {
  std::string preset, checkpoint;
  bool uneven = false;  // how it is shared out: ShardPlan's
  void add_options(CLI::App& app);
  void add_uneven(CLI::App& app);  // for commands that split the model
  // The checkpoint, whose notes go to stderr, or the preset's initial weights. draw_biases: see
  // model/init.h.
  std::unique_ptr<WeightSource> open(uint64_t seed, bool draw_biases = false) const;
  // For people: "preset gpt2, initial weights, seed 1337".
  std::string describe(const WeightSource& source) const;

 private:
  std::unique_ptr<WeightSource> find(uint64_t seed, bool draw_biases) const;
};

// Refuses what is not a whole number from `least` to `most`, which is by itself 2^31 - 1, so that
// the product of two fits.
CLI::Validator whole_number(int32_t least, int32_t most = std::numeric_limits<int32_t>::max());
CLI::Validator not_empty();    // "" is a variable that was never set
CLI::Validator seed_number();  // from 0 to 2^64 - 1
// not_empty() for every option of all commands whose value is a PATH, FILE or FOLDER.
void refuse_empty_paths(CLI::App& app);

// Refuses what is no number of ranks, with an example.
CLI::Validator rank_count(const std::string& option);

// Options that several commands have; each adds the ones it uses.
void add_tp(CLI::App& app, int& tp);
void add_tps(CLI::App& app, std::vector<int>& tps);  // 1,2,4
// A list like --tp's under another name.
void add_counts(CLI::App& app, const std::string& name, std::vector<int>& counts,
                const std::string& help);
void add_dtype(CLI::App& app, std::string& dtype);
void add_algorithm(CLI::App& app, std::string& algorithm);
void add_seed(CLI::App& app, uint64_t& seed);

// --device, --comm and --timeout.
struct MachineChoice {
  std::string device = "cpu", comm = "threads";
  double timeout_s = 300;
  void add_options(CLI::App& app);
  // Where ranks are processes there are as many ranks as processes: what was not given of --tp and
  // --dp is as that is.
  void spread(int& tp, int dp) const;
  void spread(std::vector<int>& tps) const;
  void spread(std::vector<int>& tps, std::vector<int>& dps) const;

 private:
  bool is_given(const char* option) const;
  const CLI::App* app_ = nullptr;
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

// --special, which is on, and --no-special. more: other names of it.
void add_special(CLI::App& app, bool& special, const std::string& more = "");

// open_tokenizer_at (model/checkpoints/own_tokenizer.h); says on stderr what was read otherwise
// than one may think.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path);

// All of stdin, as bytes.
std::string read_stdin();

// Token ids separated by spaces, commas or newlines. Throws Error(usage) that names the first one
// that is not a number from 0 to 2^31 - 1.
std::vector<int32_t> parse_ids(std::string_view text);

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

// Each adds one subcommand to the app. The callbacks return nothing and throw Error; a command
// that ran and found something wrong sets exit_code.
void add_verify(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_info(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);
void add_explore(CLI::App& app, int& exit_code);
void add_trace(CLI::App& app, int& exit_code);
void add_explore(CLI::App& app, int& exit_code);
// watched: take_watched()'s
void add_monitor(CLI::App& app, int& exit_code,
                 const std::optional<std::vector<std::string>>& watched);
void add_doctor(CLI::App& app, int& exit_code);
void add_draw(CLI::App& app, int& exit_code);
void add_help(CLI::App& app, const std::string& version);
// What `tplab help` says of these words.
std::string help_on(const CLI::App& tplab, const std::vector<std::string>& words);

}  // namespace tplab::cli
