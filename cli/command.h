// What every subcommand shares: options with the same names and meaning, output, progress.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/weights.h"
#include "sim/dtype.h"
#include "sim/ledger.h"

namespace tplab::cli {

// Where results go and how they look.
class Output {
 public:
  void add_options(CLI::App& app);  // --json, -o, --no-color
  // Opens -o's file, so that an unwritable one is refused before the work. Call it first.
  void open();
  bool json() const { return json_; }
  bool colour() const;

  void text(const std::string& text);                // as it is
  void document(const nlohmann::ordered_json& doc);  // --json's, indented
  // Flushes; throws Error(usage) if any of it could not be written.
  void close();

 private:
  bool json_ = false, no_color_ = false;
  std::string path_;
  std::FILE* file_ = stdout;
};

// --preset NAME or --checkpoint PATH.
struct ModelChoice {
  std::string preset, checkpoint;
  void add_options(CLI::App& app);
  // The checkpoint, or the preset's initial weights. draw_biases: see model/init.h.
  std::unique_ptr<WeightSource> open(uint64_t seed, bool draw_biases = false) const;
};

// Options that several commands have; each adds the ones it uses.
void add_tp(CLI::App& app, int& tp);
void add_tps(CLI::App& app, std::vector<int>& tps);  // 1,2,4
void add_dtype(CLI::App& app, std::string& dtype);
void add_algorithm(CLI::App& app, std::string& algorithm);
void add_seed(CLI::App& app, uint64_t& seed);

// --device and --comm.
struct MachineChoice {
  std::string device = "cpu", comm = "threads";
  void add_options(CLI::App& app);
};

// A bar on stderr, drawn only on a terminal and only once the work has taken two seconds.
class Progress {
 public:
  Progress();
  ~Progress();                                      // erases the bar
  void show(const std::string& what, double done);  // done: 0 to 1

 private:
  bool terminal_, drawn_ = false;
  int64_t start_ns_;
};

// Each adds one subcommand to the app. The callbacks return nothing and throw Error; a command
// that ran and found something wrong sets exit_code.
void add_verify(CLI::App& app, int& exit_code);
void add_generate(CLI::App& app, int& exit_code);
void add_tokenize(CLI::App& app, int& exit_code);
void add_info(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_doctor(CLI::App& app, int& exit_code);

}  // namespace tplab::cli
