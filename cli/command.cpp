#include "cli/command.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "cli/config_file.h"
#include "cli/nearest.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/files/bytes.h"
#include "model/files/json.h"
#include "model/init.h"
#include "model/training/results.h"
#include "sim/error.h"
#include "sim/machine/backends.h"
#include "sim/machine/processes.h"
#include "sim/machine/world.h"
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

std::unique_ptr<WeightSource> open_weights(const std::string& path) {
  std::unique_ptr<WeightSource> source = open_checkpoint(path);
  const auto best = find_tplab_checkpoint(path, Kept::best);
  const auto last = find_tplab_checkpoint(path, Kept::last);
  std::error_code ignored;
  if (best && !std::filesystem::equivalent(*best, *last, ignored))
    to_stderr("tplab: note: the weights are the run's best, {}; its last: {}\n", *best, *last);
  return source;
}

void ModelChoice::add_options(CLI::App& app) {
  constexpr const char* kGroup = "Model, one of";
  one_of(app.add_option("--preset", preset, "a model of known sizes, with random weights"),
         preset_words())
      ->group(kGroup);
  app.add_option("--checkpoint", checkpoint,
                 "nanoGPT's ckpt.pt, a Hugging Face folder, or what tplab train wrote")
      ->type_name("PATH")
      ->group(kGroup);
}

void ModelChoice::add_uneven(CLI::App& app) {
  app.add_flag("--uneven", uneven, "for a tp that does not divide the model: some ranks have more");
}

std::unique_ptr<WeightSource> ModelChoice::open(uint64_t seed, bool draw_biases) const {
  std::unique_ptr<WeightSource> source = find(seed, draw_biases);
  for (const std::string& note : source->notes()) to_stderr("tplab: note: {}\n", note);
  return source;
}

std::unique_ptr<WeightSource> ModelChoice::find(uint64_t seed, bool draw_biases) const {
  if (!checkpoint.empty() && !preset.empty())
    fail("both --preset and --checkpoint name a model", "drop one of them");
  if (!checkpoint.empty()) return open_weights(checkpoint);
  if (preset.empty())
    fail("no model was named", "give --preset NAME, as in --preset nano-cpu, or --checkpoint PATH");
  return initial_weights(find_preset(preset).config, {.seed = seed, .draw_biases = draw_biases});
}

std::string ModelChoice::describe(const WeightSource& source) const {
  return (preset.empty() ? "" : fmt::format("preset {}, ", preset)) + source.description() +
         (uneven ? ", shared out unevenly" : "");
}

CLI::Validator whole_number(int32_t least, int32_t most) {
  const auto refusal = [least, most](const std::string& text) {
    int32_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && stop == end && value >= least && value <= most)
      return std::string();
    return fmt::format("{} is not a whole number from {} to {}", in_quotes(text), least, most);
  };
  return {refusal, ""};
}

CLI::Validator rank_count(const std::string& option) {
  return {[option](const std::string& text) -> std::string {
            const std::string problem = whole_number(1, kMaxRanks)(text);
            if (problem.empty()) return "";
            fail(fmt::format("{}: {}", option, problem),
                 fmt::format("give one number of ranks, as in {} 2", option));
          },
          ""};
}

void add_tp(CLI::App& app, int& tp) {
  app.add_option("--tp", tp, "ranks to split over")
      ->capture_default_str()
      ->check(rank_count("--tp"));
}

void add_counts(CLI::App& app, const std::string& name, std::vector<int>& counts,
                const std::string& help) {
  // Not CLI11's delimiter, which passes over an empty place, as in 1,,2.
  const auto read = [name, &counts](const std::vector<std::string>& lists) {
    counts.clear();
    for (const std::string& list : lists) {
      for (size_t at = 0; at <= list.size();) {
        const size_t end = std::min(list.find(',', at), list.size());
        std::string number = list.substr(at, end - at);
        if (const std::string problem = whole_number(1, kMaxRanks)(number); !problem.empty())
          fail(fmt::format("{}: {}", name, problem),
               fmt::format("give numbers with commas and no spaces between, as in {} 1,2,4", name));
        counts.push_back(std::stoi(number));
        at = end + 1;
      }
    }
  };
  app.add_option_function<std::vector<std::string>>(name, read, help)
      ->type_name("INT")
      ->default_str(fmt::format("[{}]", fmt::join(counts, ",")));
}

void add_tps(CLI::App& app, std::vector<int>& tps) {
  add_counts(app, "--tp", tps, "numbers of ranks to split over, as 1,2,4");
}

void add_dtype(CLI::App& app, std::string& dtype) {
  one_of(
      app.add_option("--dtype", dtype, "of weights and activations (bf16 is computed with as f32)"),
      dtype_words())
      ->capture_default_str();
}

void add_algorithm(CLI::App& app, std::string& algorithm) {
  one_of(app.add_option("--algorithm", algorithm, "of the collectives"), algorithm_words())
      ->capture_default_str();
}

CLI::Validator seed_number() {
  const auto check = [](const std::string& text) {
    uint64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && stop == end) return std::string();
    return fmt::format("{} is not a whole number from 0 to 2^64 - 1", in_quotes(text));
  };
  return {check, ""};
}

void refuse_empty_paths(CLI::App& app) {
  for (CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    refuse_empty_paths(*sub);
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (type == "PATH" || type == "FILE" || type == "FOLDER") option->check(not_empty());
  }
}

CLI::Validator not_empty() {
  return {[](const std::string& text) { return std::string(text.empty() ? "is empty" : ""); }, ""};
}

void add_special(CLI::App& app, bool& special, const std::string& more) {
  app.add_flag("--special,!--no-special" + more, special,
               "<|endoftext|> and the like in a text are tokens, not characters")
      ->default_str(special ? "true" : "false");
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path) {
  std::unique_ptr<Tokenizer> tokenizer = open_tokenizer_at(path);
  for (const std::string& note : tokenizer->notes()) to_stderr("tplab: note: {}\n", note);
  return tokenizer;
}

void add_seed(CLI::App& app, uint64_t& seed) {
  app.add_option("--seed", seed, "of everything random")
      ->check(seed_number())
      ->capture_default_str();
}

void MachineChoice::add_options(CLI::App& app) {
  const CLI::Validator has_numbers(
      [](const std::string& text) -> std::string {
        return text == "meta" ? "meta computes no numbers; use cpu" : "";
      },
      "");
  app.add_option("--device", device, names_text(devices()))
      ->capture_default_str()
      ->check(has_numbers);
  app.add_option("--comm", comm, names_text(comms()))->capture_default_str();
  app.add_option("--timeout", timeout_s, "seconds that a rank may keep the others waiting")
      ->capture_default_str();
  app_ = &app;
}

bool MachineChoice::is_given(const char* option) const {
  const CLI::Option* const found = app_->get_option_no_throw(option);
  return found && found->count() > 0;
}

void MachineChoice::spread(int& tp, int dp) const {
  if (comm == "mpi" && processes() && !is_given("--tp")) tp = std::max(1, processes()->size() / dp);
}

void MachineChoice::spread(std::vector<int>& tps) const {
  if (comm == "mpi" && processes() && !is_given("--tp")) tps = {processes()->size()};
}

void MachineChoice::spread(std::vector<int>& tps, std::vector<int>& dps) const {
  if (comm != "mpi" || !processes()) return;
  if (!is_given("--dp")) {
    const bool divides = tps.size() == 1 && processes()->size() % tps[0] == 0;
    dps = {is_given("--tp") && divides ? processes()->size() / tps[0] : 1};
  }
  int tp = 1;
  spread(tp, dps[0]);
  if (!is_given("--tp")) tps = {tp};
}

std::string read_stdin() {
  return once_told([] {  // a launcher gives it to the first process alone
    std::string text;
    std::array<char, 1 << 16> part;
    size_t count;
    while ((count = std::fread(part.data(), 1, part.size(), stdin)) > 0)
      text.append(part.data(), count);
    if (std::ferror(stdin))
      fail(fmt::format("stdin cannot be read: {}", std::strerror(errno)),
           "redirect a file to it, as in < FILE");
    return text;
  });
}

std::vector<int32_t> parse_ids(std::string_view text) {
  constexpr std::string_view kSeparators = " ,\t\r\n";
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;
       at = text.find_first_not_of(kSeparators, at)) {
    const std::string_view word = text.substr(at, text.find_first_of(kSeparators, at) - at);
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.begin(), word.end(), id);
    if (error != std::errc() || end != word.end() || id < 0)
      fail(fmt::format("{} (number {}) is not a token id", in_quotes(word), ids.size() + 1),
           "give whole numbers from 0 up, separated by spaces or commas");
    ids.push_back(id);
    at += word.size();
  }
  return ids;
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
