#include "cli/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "cli/nearest.h"
#include "cli/same_files.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/checkpoints/tplab_checkpoint.h"
#include "model/files/bytes.h"
#include "model/init.h"
#include "sim/cuda/gpus.h"
#include "sim/error.h"
#include "sim/machine/backends.h"
#include "sim/machine/processes.h"
#include "sim/machine/world.h"

namespace tplab::cli {

std::unique_ptr<WeightSource> open_weights(const std::string& path) {
  std::unique_ptr<WeightSource> source = open_checkpoint(path);
  const auto best = find_tplab_checkpoint(path, Kept::best);
  const auto last = find_tplab_checkpoint(path, Kept::last);
  std::error_code ignored;
  if (best && !std::filesystem::equivalent(*best, *last, ignored))
    to_stderr("tplab: note: the weights are the run's best, {}; its last: {}\n", *best, *last);
  require_same_everywhere(path, *source);
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

void MachineChoice::add_device(CLI::App& app) {
  const CLI::Validator has_numbers(
      [](const std::string& text) -> std::string {
        return text == "meta" ? "meta computes no numbers; use cpu" : "";
      },
      "");
  app.add_option("--device", device, names_text(devices()))
      ->capture_default_str()
      ->check(has_numbers);
}

void MachineChoice::add_options(CLI::App& app) {
  add_device(app);
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
  if (processes() && !is_given("--tp")) tp = std::max(1, processes()->size() / dp);
  note_peers(tp * dp);
}

void MachineChoice::spread(std::vector<int>& tps) const {
  if (processes() && !is_given("--tp")) tps = {processes()->size()};
  note_peers(*std::max_element(tps.begin(), tps.end()));
}

void MachineChoice::spread(std::vector<int>& tps, std::vector<int>& dps) const {
  note_peers(*std::max_element(tps.begin(), tps.end()) * *std::max_element(dps.begin(), dps.end()));
  if (!processes()) return;
  if (!is_given("--dp")) {
    const bool divides = tps.size() == 1 && processes()->size() % tps[0] == 0;
    dps = {is_given("--tp") && divides ? processes()->size() / tps[0] : 1};
  }
  int tp = 1;
  spread(tp, dps[0]);
  if (!is_given("--tp")) tps = {tp};
}

void MachineChoice::note_peers(int ranks) const {
  if (device != "cuda" || comm != "threads" || gpus_reach_each_other(ranks)) return;
  static std::once_flag once;
  std::call_once(once, [] {
    to_stderr(
        "tplab: note: the GPUs cannot read each other's memory (no peer access), so ranks send "
        "copies through the host's: slow; tplab doctor shows which GPUs can, and --comm nccl may "
        "know a faster way\n");
  });
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

}  // namespace tplab::cli
