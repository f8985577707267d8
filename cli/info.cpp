// tplab info: what a checkpoint or preset holds, and how it splits over ranks.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/parallelism_options.h"
#include "model/files/stored.h"
#include "model/plan/training_memory.h"
#include "model/shard_plan.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/text/bytes_text.h"
#include "verify/report_json.h"
#include "viz/drawing/tables.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

// A training step on one rank.
struct Training {
  int dp;
  int64_t batch, length;
  MemoryForecast forecast;
};

struct InfoCommand {
  ModelChoice model;
  Output output;
  int tp = 0;  // not given
  std::string dtype = "f32";

  // With --train: what a training step needs.
  bool train = false;
  int64_t batch = 12, seq = 0;  // sequences a step, of all replicas; tokens a sequence
  Parallelism parallelism;      // --tp and --uneven are said of any model

  void run();
  std::optional<Training> training(const Architecture& architecture);
};

// Everything that is said, read from headers only: no weight is touched.
struct Facts {
  std::string source, stored_dtype;
  std::vector<std::string> notes;
  int64_t parameters, stored_bytes;  // 0 where files mix formats
  std::vector<int> tps;
  ShardPlan plan;
  DType dtype;

  const Architecture& architecture() const { return plan.architecture(); }
  int64_t heads() const { return first_attention(architecture()).heads; }
  int64_t heads(int rank) const { return plan.heads(first_attention(architecture()), rank).size(); }
  int64_t weights_bytes(int rank) const { return plan.local_count(rank) * size_bytes(dtype); }
  // Keys and values of every layer: 2 L C sizeof(x), all ranks together.
  int64_t cache_bytes_per_token() const {
    return 2 * architecture().layers() * architecture().width * size_bytes(dtype);
  }
  // Of the heads that the rank has.
  int64_t cache_bytes_per_token(int rank) const {
    return cache_bytes_per_token() / heads() * heads(rank);
  }
  // What the ranks hold beyond one copy of the model: replicas and padding.
  double overhead() const {
    return static_cast<double>(plan.total_count()) / static_cast<double>(parameters) - 1;
  }
};

std::vector<int> tps(const Architecture& architecture, bool uneven) {
  std::vector<int> good;
  for (int tp = 1; tp <= kMaxRanks; ++tp) {
    try {
      check_shares(architecture, tp, uneven);
      good.push_back(tp);
    } catch (const Error&) {  // it does not divide
    }
  }
  return good;
}

Facts find_out(const WeightSource& source, const std::string& description, int tp, bool uneven,
               const std::string& dtype) {
  Facts facts{.source = description,
              .stored_dtype = source.stored_dtype(),
              .notes = source.notes(),
              .parameters = parameter_count(source.architecture()),
              .stored_bytes = 0,
              .tps = tps(source.architecture(), uneven),
              .plan = ShardPlan(source.architecture(), tp, uneven),
              .dtype = parse_dtype(dtype)};
  for (const StoredTypeRow& row : stored_types())
    if (row.name == facts.stored_dtype) facts.stored_bytes = row.size_bytes * facts.parameters;
  return facts;
}

std::string config_text(const Architecture& architecture) {
  const GptConfig c = gpt_config(architecture);
  return fmt::format(
      "{} layers, {} heads of {}, {} wide, MLP {} wide, context {}, vocabulary {}\n"
      "GELU {}, {}, head {}, layer norm eps {}\n",
      c.n_layer, c.n_head, c.head_size(), c.n_embd, c.n_inner, c.block_size, c.vocab_size,
      c.gelu == Gelu::erf ? "exact (erf)" : "tanh form", c.bias ? "biases" : "no biases",
      c.tied_head ? "tied to the embedding" : "of its own", c.layer_norm_eps);
}

std::string text(const Facts& f, bool split, bool colour, int columns) {
  std::string text = ink(f.source, Ink::bold, colour) + "\n" + config_text(f.architecture());
  text += fmt::format("{} parameters", f.parameters);
  if (f.stored_bytes) text += fmt::format(", {} in {}", bytes_text(f.stored_bytes), f.stored_dtype);
  text += fmt::format(
      "\nKV cache {} a token, {} at full context, in {}\n", bytes_text(f.cache_bytes_per_token()),
      bytes_text(f.cache_bytes_per_token() * f.architecture().context), name(f.dtype));
  text += fmt::format("--tp that work: {}\n\n", tps_that_work(f.architecture(), f.plan.uneven()));
  if (split)
    text += fmt::format("{}\n",
                        ink(fmt::format("tp {}, {}: a rank holds {}{} of weights and {} of cache a "
                                        "token; replicas and padding add {:.1f} %",
                                        f.plan.tp(), name(f.dtype), f.plan.even() ? "" : "at most ",
                                        bytes_text(f.weights_bytes(0)),
                                        bytes_text(f.cache_bytes_per_token(0)), 100 * f.overhead()),
                            Ink::bold, colour));
  return text + shard_table(f.plan, f.dtype).text(colour, columns) +
         "(names are a checkpoint's, without its transformer. in front)\n";
}

std::string training_text(const Training& t) {
  const TrainingMemory& m = t.forecast.memory;
  return fmt::format(
      "\ntraining on {} x {} tokens a step, dp {}: a rank needs {}\n"
      "  weights {}, gradients {}, AdamW {}, activations {}, working {}\n"
      "  (layers that keep attention's probabilities and masks: {} of activations, Korthikanti et "
      "al. 2022)\n",
      t.batch, t.length, t.dp, bytes_text(m.total()), bytes_text(m.weights),
      bytes_text(m.gradients), bytes_text(m.moments + m.masters), bytes_text(m.activations),
      bytes_text(m.working), bytes_text(t.forecast.activations_of_the_paper));
}

Json training_json(const Training& t) {
  const TrainingMemory& m = t.forecast.memory;
  return {{"dp", t.dp},
          {"batch", t.batch},
          {"seq", t.length},
          {"total_bytes", m.total()},
          {"weights_bytes", m.weights},
          {"gradients_bytes", m.gradients},
          {"moments_bytes", m.moments},
          {"masters_bytes", m.masters},
          {"activations_bytes", m.activations},
          {"working_bytes", m.working},
          {"activations_kept_whole_bytes", t.forecast.activations_kept_whole},
          {"paper_activations_bytes", t.forecast.activations_of_the_paper}};
}

Json parameters_json(const ShardPlan& plan, DType dtype) {
  Json list = Json::array();
  for (const NamedTensor& tensor : plan.tensors()) {
    const Shape local = plan.local_shape(tensor, 0);
    list.push_back({{"name", tensor.name},
                    {"shape", tensor.shape},
                    {"split", name(plan.first_row(tensor).split, tensor.fused())},
                    {"rank_shape", local},
                    {"rank_bytes", local.count() * size_bytes(dtype)}});
  }
  return list;
}

Json json(const Facts& f) {
  Json doc = {{"schema", 1},
              {"source", f.source},
              {"notes", f.notes},
              {"config", to_json(f.architecture())},
              {"parameters", f.parameters},
              {"stored_dtype", f.stored_dtype},
              {"stored_bytes", f.stored_bytes ? Json(f.stored_bytes) : Json()},
              {"tps_that_work", f.tps},
              {"tp", f.plan.tp()},
              {"dtype", name(f.dtype)},
              {"padded_vocab", f.plan.padded_vocab()},
              {"kv_cache_bytes_per_token", f.cache_bytes_per_token()},
              {"ranks", Json::array()},
              {"tensors", parameters_json(f.plan, f.dtype)}};
  for (int rank = 0; rank < f.plan.tp(); ++rank)
    doc["ranks"].push_back({{"rank", rank},
                            {"weights_bytes", f.weights_bytes(rank)},
                            {"heads", f.heads(rank)},
                            {"kv_cache_bytes_per_token", f.cache_bytes_per_token(rank)}});
  return doc;
}

std::optional<Training> InfoCommand::training(const Architecture& architecture) {
  if (!train) return {};
  if (seq == 0) seq = architecture.context;
  if (seq > architecture.context)
    fail(
        fmt::format("--seq {} is longer than the model's context of {}", seq, architecture.context),
        fmt::format("use at most {}", architecture.context));
  Parallelism how = parallelism;
  how.tp = std::max(tp, 1);
  how.uneven = model.uneven;
  how.check_batch(batch, seq);
  const TrainerOptions trainer{.dtype = parse_dtype(dtype), .parallelism = how};
  return Training{how.dp, batch, seq,
                  forecast_memory(architecture, trainer, how.micro_batch(batch), seq)};
}

void InfoCommand::run() {
  output.open({model.checkpoint});
  const std::unique_ptr<WeightSource> source = model.open(1337);
  const bool split = tp != 0;
  const Facts facts =
      find_out(*source, model.describe(*source), split ? tp : 1, model.uneven, dtype);
  const std::optional<Training> step = training(source->architecture());
  if (output.json()) {
    Json doc = json(facts);
    if (step) doc["training"] = training_json(*step);
    output.document(doc);
  } else {
    output.lines(text(facts, split, output.colour(), output.columns()) +
                 (step ? training_text(*step) : ""));
  }
  output.close();
}

}  // namespace

void add_info(CLI::App& app, int&) {
  auto command = std::make_shared<InfoCommand>();
  CLI::App* sub = app.add_subcommand("info", "What a model holds, and how it splits over ranks");
  sub->footer(R"(Examples:
  tplab info --checkpoint ckpt.pt
  tplab info --preset gpt2-xl --tp 5
  tplab info --checkpoint gpt2/ --tp 4 --dtype f64 --json
  tplab info --preset gpt2 --tp 2 --train --sp --batch 4 --seq 1024)");
  command->model.add_options(*sub);
  sub->add_option("--tp", command->tp, "ranks to split over (not split)")
      ->check(rank_count("--tp"));
  command->model.add_uneven(*sub);
  add_dtype(*sub, command->dtype);
  constexpr const char* kTraining = "Training";
  CLI::Option* train =
      sub->add_flag("--train", command->train, "what a training step needs in memory")
          ->group(kTraining);
  add_parallelism(*sub, command->parallelism,
                  [&](CLI::Option& option) { option.needs(train)->group(kTraining); });
  sub->add_option("--batch", command->batch, "sequences a step, of all replicas together (12)")
      ->check(whole_number(1))
      ->needs(train)
      ->group(kTraining);
  sub->add_option("--seq", command->seq, "tokens a sequence (the context)")
      ->check(whole_number(1))
      ->needs(train)
      ->group(kTraining);
  command->output.add_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
