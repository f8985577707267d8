#include "cli/output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "cli/config_file.h"
#include "model/files/bytes.h"
#include "model/files/json.h"
#include "model/training/results.h"
#include "sim/clock.h"
#include "sim/machine/processes.h"
#include "sim/text/bytes_text.h"

namespace tplab::cli {

void Output::add_format_options(CLI::App& app) {
  command_ = &app;
  app.add_flag("--json", json_, "print one JSON document");
  app.add_flag("--no-color", no_color_, "no colour, even on a terminal (NO_COLOR does the same)");
}

void Output::add_options(CLI::App& app) {
  add_format_options(app);
  app.add_option("-o,--out", path_, "write the result to FILE instead of stdout")
      ->type_name("FILE");
}

Output::~Output() {
  if (file_ != stdout) std::fclose(file_);
  if (!part_.empty()) std::remove(part_.c_str());
}

namespace {

// Weights, tokens, their tables and configs, or what a training run measured: nobody means to write
// a picture over one.
bool is_work_of_hours(const std::string& name) {
  constexpr std::array kKinds = {".pt", ".safetensors", ".pkl", ".bin", ".bpe"};
  constexpr std::array kNames = {"config.json",
                                 "vocab.json",
                                 "merges.txt",
                                 "encoder.json",
                                 "tokenizer.json",
                                 "added_tokens.json",
                                 "tokenizer_config.json",
                                 "special_tokens_map.json",
                                 "model.safetensors.index.json"};
  std::error_code ignored;
  const auto path = std::filesystem::weakly_canonical(name, ignored);
  const auto is_one_of = [](const auto& all, const std::filesystem::path& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  return std::filesystem::exists(path, ignored) &&
         (is_one_of(kKinds, path.extension()) || is_one_of(kNames, path.filename()) ||
          is_results_file_name(path.filename().string()));
}

bool is_stdin(const std::string& path) {
  struct stat in = {}, named = {};
  return fstat(STDIN_FILENO, &in) == 0 && stat(path.c_str(), &named) == 0 && S_ISREG(in.st_mode) &&
         in.st_dev == named.st_dev && in.st_ino == named.st_ino;
}

}  // namespace

void Output::refuse_to_replace(const std::string& option, const std::string& path,
                               std::vector<std::string> inputs) const {
  if (const CLI::Option* config = command_->get_option_no_throw("--config"))
    inputs.insert(inputs.end(), config->results().begin(), config->results().end());
  for (const std::string& input : inputs) {
    std::error_code ignored;
    if (!std::filesystem::equivalent(path, input, ignored)) continue;
    fail(fmt::format("{} names {}, which the command reads", option, path),
         "choose another file for the result");
  }
  if (is_work_of_hours(path))
    fail(fmt::format("{} names {}, which is there and is a model's or a training run's", option,
                     path),
         "choose another file for the result, or remove that one first");
  if (is_stdin(path))
    fail(fmt::format("{} names {}, which stdin comes from", option, path),
         "choose another file for the result");
}

void Output::check_result(const std::string& option, const std::string& path,
                          std::vector<std::string> inputs) const {
  if (path.empty()) return;
  refuse_to_replace(option, path, std::move(inputs));
  std::error_code ignored;
  if (!path_.empty() && std::filesystem::weakly_canonical(path, ignored) ==
                            std::filesystem::weakly_canonical(path_, ignored))
    fail(fmt::format("-o and {} name one file, {}", option, path), "choose two");
}

void Output::open(std::vector<std::string> inputs) {
  if (path_.empty()) return;
  refuse_to_replace("-o", path_, std::move(inputs));
  std::error_code error;
  // The file itself, not a link to it, is what is replaced.
  const auto target = std::filesystem::weakly_canonical(path_, error);
  if (!error) path_ = target.string();
  const auto kind = std::filesystem::status(path_, error).type();
  if (!is_first_process()) {  // the first one writes it
    file_ = std::fopen("/dev/null", "w");
    return;
  }
  const bool replaces =
      kind == std::filesystem::file_type::regular || kind == std::filesystem::file_type::not_found;
  if (replaces) part_ = path_ + ".part";
  file_ = std::fopen(replaces ? part_.c_str() : path_.c_str(), "w");
  if (file_) return;
  const int reason = errno;
  file_ = stdout;
  part_.clear();
  fail_write(path_ + ": cannot be written", reason, "choose a file in a folder you can write to");
}

bool Output::terminal() const { return path_.empty() && is_terminal(STDOUT_FILENO); }

bool Output::colour() const {
  const char* off = std::getenv("NO_COLOR");
  return !json_ && !no_color_ && !(off && *off) && path_.empty() && takes_codes(STDOUT_FILENO);
}

int Output::columns() const { return path_.empty() ? terminal_columns() : 80; }

std::string Output::safe(const std::string& text) const {
  return terminal() ? harmless(text) : text;
}

void Output::text(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() && !error_) error_ = errno;
}

void Output::lines(const std::string& all) { text(fitted(all, columns())); }

void Output::document(const nlohmann::ordered_json& doc) {
  text(json_text(with_header(*command_, doc), 1) + "\n");
}

void Output::flush() {
  if (std::fflush(file_) != 0 && !error_) error_ = errno;
  if (error_)
    fail_write((path_.empty() ? "stdout" : path_) + ": could not be written", error_,
               "choose another file with -o");
}

namespace {

std::string how_to_open(const std::filesystem::path& path) {
  const std::string ending = path.extension().string();
  if (ending == ".svg" || ending == ".html") return "open it in a browser";
  if (ending == ".png" || ending == ".pdf") return "open it in a viewer of pictures";
  if (ending == ".dot") return fmt::format("draw it with dot -Tsvg {}", path.filename().string());
  return "";
}

}  // namespace

void say_written(const std::string& path, int64_t bytes, const std::string& how) {
  to_stderr("wrote {} ({}){}{}\n", path, bytes_text(bytes), how.empty() ? "" : ": ", how);
}

void say_written(const std::string& path, const std::string& how) {
  std::error_code error;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (!error) say_written(path, bytes, how);
}

void Output::close(const std::string& how) {
  flush();
  if (file_ != stdout && std::fclose(std::exchange(file_, stdout)) != 0) error_ = errno;
  flush();
  if (part_.empty()) return;
  const std::string part = std::exchange(part_, {});
  if (std::rename(part.c_str(), path_.c_str()) != 0) error_ = errno;
  flush();
  say_written(path_, how.empty() && !json_ ? how_to_open(path_) : how);
}

Progress::Progress() : terminal_(takes_codes(STDERR_FILENO)), start_ns_(now_ns()) {}

void Progress::erase() {
  if (std::exchange(drawn_ns_, 0)) std::fputs("\r\x1b[K", stderr);
}

void Progress::show(const std::string& what, double done) {
  constexpr int64_t kPatience_ns = 2'000'000'000, kBetween_ns = 50'000'000;
  const int64_t now = now_ns();
  if (!terminal_ || now - start_ns_ < kPatience_ns || now - drawn_ns_ < kBetween_ns) return;
  const std::string line = progress_line(printable_line(what), done, terminal_columns());
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
  drawn_ns_ = now;
}

}  // namespace tplab::cli
