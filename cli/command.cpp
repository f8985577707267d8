#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "model/checkpoints/checkpoint.h"
#include "model/init.h"
#include "sim/error.h"

namespace tplab::cli {

void Output::add_options(CLI::App& app) {
  app.add_flag("--json", json_, "print one JSON document");
  app.add_flag("--no-color", no_color_, "no colour, even on a terminal (NO_COLOR does the same)");
  app.add_option("-o,--out", path_, "write the result to FILE instead of stdout")
      ->type_name("FILE");
}

void Output::open() {
  if (path_.empty()) return;
  file_ = std::fopen(path_.c_str(), "w");
  if (!file_)
    fail(fmt::format("{}: cannot be written: {}", path_, std::strerror(errno)),
         "choose a file in a folder you can write to");
}

bool Output::colour() const {
  const char* off = std::getenv("NO_COLOR");
  return !json_ && !no_color_ && !(off && *off) && path_.empty() && isatty(STDOUT_FILENO);
}

void Output::text(const std::string& text) { std::fwrite(text.data(), 1, text.size(), file_); }

void Output::document(const nlohmann::ordered_json& doc) {
  // Bytes that are not UTF-8 (a generated token may end inside a character) become U+FFFD.
  text(doc.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void Output::close() {
  const bool written = std::fflush(file_) == 0 && !std::ferror(file_);
  const int error = errno;
  const bool closed = file_ == stdout || std::fclose(file_) == 0;
  file_ = stdout;
  if (!written || !closed)
    fail(fmt::format("{}: could not be written: {}", path_.empty() ? "stdout" : path_,
                     std::strerror(error)),
         "free some space, or choose another file with -o");
}

void ModelChoice::add_options(CLI::App& app) {
  auto* group = app.add_option_group("model", "which model, one of");
  group->add_option("--preset", preset, "nano-cpu, nano, gpt2, gpt2-medium, gpt2-large, gpt2-xl")
      ->type_name("NAME");
  group->add_option("--checkpoint", checkpoint, "nanoGPT's ckpt.pt, or a Hugging Face folder")
      ->type_name("PATH");
  group->require_option(1);
}

std::unique_ptr<WeightSource> ModelChoice::open(uint64_t seed, bool draw_biases) const {
  if (!checkpoint.empty()) return open_checkpoint(checkpoint);
  return initial_weights(find_preset(preset).config, {.seed = seed, .draw_biases = draw_biases});
}

void add_tp(CLI::App& app, int& tp) {
  app.add_option("--tp", tp, "ranks to split over")->capture_default_str();
}

void add_tps(CLI::App& app, std::vector<int>& tps) {
  app.add_option("--tp", tps, "numbers of ranks to split over, as 1,2,4")
      ->delimiter(',')
      ->capture_default_str();
}

void add_dtype(CLI::App& app, std::string& dtype) {
  app.add_option("--dtype", dtype, "f64 or f32")->capture_default_str();
}

void add_algorithm(CLI::App& app, std::string& algorithm) {
  app.add_option("--algorithm", algorithm, "of the collectives: direct, ring, tree or gather")
      ->capture_default_str();
}

void add_seed(CLI::App& app, uint64_t& seed) {
  app.add_option("--seed", seed, "of everything random")->capture_default_str();
}

void MachineChoice::add_options(CLI::App& app) {
  app.add_option("--device", device, "cpu (cuda is not in this build)")->capture_default_str();
  app.add_option("--comm", comm, "threads (nccl and mpi are not in this build)")
      ->capture_default_str();
}

Progress::Progress() : terminal_(isatty(STDERR_FILENO)), start_ns_(now_ns()) {}

Progress::~Progress() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::show(const std::string& what, double done) {
  constexpr int64_t kPatience_ns = 2'000'000'000;
  if (!terminal_ || now_ns() - start_ns_ < kPatience_ns) return;
  constexpr int kWidth = 30;
  const int filled = static_cast<int>(done * kWidth);
  fmt::print(stderr, "\r\x1b[K[{:#<{}}{:.<{}}] {:3.0f} %  {}", "", filled, "", kWidth - filled,
             100 * done, what);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace tplab::cli
