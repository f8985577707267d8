// tplab generate: continues a text with a model split over ranks, printing tokens as they come.
#include "model/generate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "cli/command.h"
#include "cli/counted_source.h"
#include "cli/utf8_stream.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/decode_steps.h"
#include "model/finite.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/text/utf8.h"

namespace tplab::cli {

namespace {

// The prompt, and how the new tokens are shown: as text with a tokenizer, else as ids.
struct Task {
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<int32_t> prompt_ids;
  std::string prompt;           // what is shown of it
  std::optional<int> end = {};  // the token that ends the text
};

struct Result {
  std::vector<int32_t> ids;
  int64_t start_ns = 0, loaded_ns = 0, first_ns = 0, last_ns = 0;

  double seconds_between(int64_t from, int64_t to) const {
    return static_cast<double>(to - from) * 1e-9;
  }
  double load_seconds() const { return seconds_between(start_ns, loaded_ns); }
  double first_token_seconds() const { return seconds_between(loaded_ns, first_ns); }
  // After the first token, which the prompt takes part in.
  std::optional<double> tokens_per_second() const {
    if (ids.size() < 2) return {};
    return static_cast<double>(ids.size() - 1) / seconds_between(first_ns, last_ns);
  }
};

struct GenerateCommand {
  ModelChoice model;
  MachineChoice machine;
  Output output;
  int tp = 1;
  std::string dtype = "f32", algorithm = "direct", tokenizer, tokens;
  std::optional<std::string> prompt;
  int64_t max_new = 100;
  Sampling sampling{.temperature = 0.8, .top_k = 200};
  bool greedy = false, no_echo = false, special = true;

  void run();
  Task prepare(const Architecture& architecture) const;
  std::string tokenizer_path() const;
  Result generate_on_ranks(const WeightSource& source, const Task& task, World& world);
  nlohmann::ordered_json json(const WeightSource& source, const Task& task,
                              const Result& result) const;
};

void check_prompt(const std::vector<int32_t>& ids, const Architecture& architecture,
                  const Tokenizer* tokenizer) {
  if (ids.empty())
    fail("the prompt is empty",
         "give at least one character or token to continue, or leave out --prompt to begin anew");
  if (ids.size() > static_cast<size_t>(architecture.context))
    fail(fmt::format("the prompt has {} tokens and the model's context is {}", ids.size(),
                     architecture.context),
         fmt::format("shorten the prompt to at most {} tokens", architecture.context));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < architecture.vocabulary) continue;
    fail(
        fmt::format("token id {} (number {} of the prompt) is outside the model's vocabulary of {}",
                    ids[i], i + 1, architecture.vocabulary),
        tokenizer ? "use the tokenizer that belongs to this model; this one is " +
                        tokenizer->description()
                  : fmt::format("use ids from 0 to {}", architecture.vocabulary - 1));
  }
}

// A vocabulary may be padded, as nanoGPT pads GPT-2's to 50304, but hardly more than this.
void note_other_vocabulary(const Tokenizer& tokenizer, const Architecture& architecture) {
  constexpr int64_t kPadding = 1024;
  const int64_t known = tokenizer.vocab_size();
  if (known <= architecture.vocabulary && architecture.vocabulary < known + kPadding) return;
  to_stderr(
      "tplab: note: the model has {} tokens but the tokenizer is {}; do they belong "
      "together?\n",
      architecture.vocabulary, tokenizer.description());
}

std::string GenerateCommand::tokenizer_path() const {
  if (!tokenizer.empty()) return tokenizer;
  if (model.preset.empty()) return find_tokenizer(model.checkpoint);
  fail(fmt::format("the preset {} has random weights and no tokenizer", model.preset),
       "give token ids with --tokens 0,1,2, or a tokenizer with --tokenizer PATH");
}

std::string prompt_from_stdin() {
  std::string text = read_stdin();
  if (const size_t mark = utf8::mark_length(text)) {
    text.erase(0, mark);
    to_stderr("tplab: note: stdin: left out the mark of UTF-8 (BOM) at its beginning\n");
  }
  return text;
}

Task GenerateCommand::prepare(const Architecture& architecture) const {
  Task task;
  if (tokens.empty() || !tokenizer.empty()) {
    task.tokenizer = open_tokenizer(tokenizer_path());
    note_other_vocabulary(*task.tokenizer, architecture);
  }
  if (!tokens.empty()) {
    task.prompt_ids = parse_ids(tokens);
    if (task.tokenizer)
      task.prompt = task.tokenizer->show(task.prompt_ids);
    else
      task.prompt = fmt::format("{}", fmt::join(task.prompt_ids, " "));
  } else {
    task.end = task.tokenizer->end_of_text();
    const std::optional<int> start = task.tokenizer->start_of_text();
    if (!prompt && start) {
      task.prompt_ids = {*start};  // a new document
    } else {
      task.prompt = !prompt ? "\n" : *prompt == "-" ? prompt_from_stdin() : *prompt;
      task.prompt_ids = task.tokenizer->encode(
          task.prompt, special ? SpecialTokens::allow : SpecialTokens::as_text);
    }
  }
  check_prompt(task.prompt_ids, architecture, task.tokenizer.get());
  return task;
}

// Prints each token of rank 0 as it comes.
class Printer {
 public:
  Printer(Output& output, const Task& task, bool echo) : output_(output), task_(task) {
    if (!echo) return;
    print(task.prompt);
    separator_ = !task.tokenizer;
  }
  void add(int32_t token) {
    if (token == task_.end) return;
    if (task_.tokenizer) {
      print(utf8_.add(task_.tokenizer->show(std::array{token})));
    } else {
      print(fmt::format("{}{}", separator_ ? " " : "", token));
      separator_ = true;
    }
  }
  void finish() { print(utf8_.finish() + "\n"); }

 private:
  void print(const std::string& text) {
    output_.text(output_.safe(text));
    output_.flush();
  }

  Output& output_;
  const Task& task_;
  Utf8Stream utf8_;
  bool separator_ = false;
};

Result GenerateCommand::generate_on_ranks(const WeightSource& source, const Task& task,
                                          World& world) {
  const ShardPlan plan(source.architecture(), tp, model.uneven);
  const DType type = parse_dtype(dtype);
  Progress progress;
  CountedSource weights(source, plan.total_count(), progress);
  const int64_t start_ns = now_ns();
  // Every rank gets the same tokens; the first one says so.
  auto [results, records] = world.run([&](Rank& rank) {
    const Network network(rank, weights, plan, type);
    rank.comm().barrier();
    const bool first = rank.index() == 0;
    Result result;
    result.start_ns = start_ns;
    result.loaded_ns = now_ns();
    std::optional<Printer> printer;
    if (first) progress.erase();
    const std::string_view why_not = why_not_captured(rank);
    if (first && !why_not.empty())
      to_stderr("tplab: note: a token's step is not captured: {}\n", why_not);
    if (first && !output.json()) printer.emplace(output, task, !no_echo);
    generate(network, task.prompt_ids, max_new, sampling, [&](int32_t token) {
      result.last_ns = now_ns();
      if (result.ids.empty()) result.first_ns = result.last_ns;
      result.ids.push_back(token);
      if (printer) printer->add(token);
      return token != task.end;
    });
    if (printer) printer->finish();
    return result;
  });
  return std::move(results[0]);
}

nlohmann::ordered_json GenerateCommand::json(const WeightSource& source, const Task& task,
                                             const Result& result) const {
  nlohmann::ordered_json doc = {{"schema", 1},
                                {"source", model.describe(source)},
                                {"tp", tp},
                                {"dtype", dtype},
                                {"temperature", sampling.temperature},
                                {"top_k", sampling.top_k},
                                {"top_p", sampling.top_p},
                                {"seed", sampling.seed},
                                {"prompt", nullptr},
                                {"prompt_ids", task.prompt_ids},
                                {"ids", result.ids},
                                {"text", nullptr},
                                {"stopped", "max_new"},
                                {"load_seconds", result.load_seconds()},
                                {"first_token_seconds", nullptr},
                                {"tokens_per_second", nullptr}};
  if (task.tokenizer) {
    doc["prompt"] = task.prompt;
    std::string text;
    for (int32_t id : result.ids)
      if (id != task.end) text += task.tokenizer->show(std::array{id});
    doc["text"] = text;
  }
  if (result.ids.empty()) return doc;
  if (result.ids.back() == task.end) doc["stopped"] = "end_of_text";
  doc["first_token_seconds"] = result.first_token_seconds();
  if (const auto speed = result.tokens_per_second()) doc["tokens_per_second"] = *speed;
  return doc;
}

void GenerateCommand::run() {
  output.open({model.checkpoint, tokenizer});
  if (greedy) sampling.temperature = 0;
  check(sampling);
  machine.spread(tp, 1);
  World world({.tp = tp,
               .device = machine.device,
               .comm = machine.comm,
               .algorithm = parse_algorithm(algorithm),
               .timeout_s = machine.timeout_s});
  const std::unique_ptr<WeightSource> source = model.open(sampling.seed);
  const ShardPlan plan(source->architecture(), tp,
                       model.uneven);  // a tp that does not divide, before the prompt
  const Task task = prepare(source->architecture());
  Result result;
  try {
    result = generate_on_ranks(*source, task, world);
  } catch (const PeerFailed&) {
    throw;
  } catch (const Error&) {
    require_finite(*source, parse_dtype(dtype));  // where they are not, that is the reason
    throw;
  }
  if (output.json()) output.document(json(*source, task, result));
  output.close();
  const auto speed = result.tokens_per_second();
  if (speed && is_terminal(STDERR_FILENO))
    to_stderr("{} tokens, {:.1f} tokens/s (tp {}, {})\n", result.ids.size(), *speed, tp, dtype);
}

}  // namespace

void add_generate(CLI::App& app, int&) {
  auto command = std::make_shared<GenerateCommand>();
  CLI::App* sub = app.add_subcommand("generate", "Continue a text, the model split over ranks");
  sub->footer(R"(Examples:
  tplab generate --checkpoint out/ckpt.pt --tokenizer data/shakespeare_char/meta.pkl
  tplab generate --checkpoint gpt2/ --tp 2 --prompt "The meaning of life is" --max-new 40
  tplab generate --checkpoint gpt2/ --prompt - --greedy < story.txt
  tplab generate --preset nano-cpu --tokens 1,2,3 --max-new 8
The text goes to stdout token by token, and is the same at every --tp for one --seed.)");
  command->model.add_options(*sub);
  add_tp(*sub, command->tp);
  command->model.add_uneven(*sub);
  add_dtype(*sub, command->dtype);
  auto* prompt =
      sub->add_option("--prompt", command->prompt,
                      "text to continue; - reads stdin (a newline, or for GPT-2 a new document)");
  sub->add_option("--tokens", command->tokens, "token ids to continue, as 1,2,3; prints ids")
      ->type_name("IDS")
      ->check(not_empty())
      ->excludes(prompt);
  sub->add_option("--tokenizer", command->tokenizer,
                  "meta.pkl, or GPT-2's folder (what lies with the checkpoint)")
      ->type_name("PATH");
  add_special(*sub, command->special);
  sub->add_option("--max-new", command->max_new, "tokens to add")
      ->check(whole_number(0))
      ->capture_default_str();
  auto* greedy = sub->add_flag("--greedy", command->greedy, "always the most likely token");
  sub->add_option("--temperature", command->sampling.temperature, "below 1 is more careful")
      ->capture_default_str()
      ->excludes(greedy);
  sub->add_option("--top-k", command->sampling.top_k, "only the K most likely tokens; 0: all")
      ->capture_default_str();
  sub->add_option("--top-p", command->sampling.top_p,
                  "only the most likely tokens that have this probability together")
      ->capture_default_str();
  add_seed(*sub, command->sampling.seed);
  sub->add_flag("--no-echo", command->no_echo, "print only what is new, not the prompt");
  add_algorithm(*sub, command->algorithm);
  command->machine.add_options(*sub);
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
