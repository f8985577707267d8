// What every subcommand shares: options with the same names and meaning. And the list of them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "model/weights.h"
#include "sim/dtype.h"
#include "sim/machine/ledger.h"

namespace tplab {
class Tokenizer;
}

namespace tplab::cli {

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
  void add_device(CLI::App& app);  // alone, for what one rank does
  // Where ranks are processes there are as many ranks as processes: fills in what was not given of
  // --tp and --dp.
  void spread(int& tp, int dp) const;
  void spread(std::vector<int>& tps) const;
  void spread(std::vector<int>& tps, std::vector<int>& dps) const;

 private:
  bool is_given(const char* option) const;
  void note_peers(int ranks) const;  // once, where GPUs have no access to each other
  const CLI::App* app_ = nullptr;
};

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

// Each adds one subcommand to the app. The callbacks return nothing and throw Error; a command
// that ran and found something wrong sets exit_code.
void add_verify(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_info(CLI::App& app, int& exit_code);
void add_export(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_train(CLI::App& app, int& exit_code);
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
