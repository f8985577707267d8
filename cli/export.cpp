// tplab export: a model as a Hugging Face GPT-2 folder, which other programs load.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/counted_source.h"
#include "model/checkpoints/export_huggingface.h"
#include "model/checkpoints/own_tokenizer.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

struct ExportCommand {
  ModelChoice model;
  std::string tokenizer, folder;
  uint64_t seed = 1337;
  Output output;

  void run();
  std::unique_ptr<Tokenizer> find() const;
};

// The one that was named, or what lies with the checkpoint; a model goes without one too.
std::unique_ptr<Tokenizer> ExportCommand::find() const {
  if (!tokenizer.empty()) return open_tokenizer(tokenizer);
  if (model.checkpoint.empty()) return nullptr;
  std::string path;
  try {
    path = find_tokenizer(model.checkpoint);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    return nullptr;
  }
  return open_tokenizer(path);
}

void ExportCommand::run() {
  const std::unique_ptr<WeightSource> source = model.open(seed);
  std::error_code ignored;
  if (!model.checkpoint.empty() && std::filesystem::equivalent(model.checkpoint, folder, ignored)) {
    fail(fmt::format("{} is the checkpoint that is read", folder), "choose another folder with -o");
  }
  const std::unique_ptr<Tokenizer> known = find();
  Progress progress;
  const CountedSource watched(*source, parameter_count(source->architecture()), progress);
  const ExportReport report = export_huggingface(watched, known.get(), folder);
  progress.erase();
  if (output.json()) {
    output.document({{"schema", 1},
                     {"source", model.describe(*source)},
                     {"folder", folder},
                     {"files", report.files},
                     {"parameters", parameter_count(source->architecture())},
                     {"bytes", report.bytes},
                     {"tokenizer", known ? nlohmann::ordered_json(known->description())
                                         : nlohmann::ordered_json()},
                     {"notes", report.notes}});
  } else {
    output.lines(fmt::format("{}: {} ({} bytes of weights)\n", printable_line(folder),
                             fmt::join(report.files, ", "), report.bytes));
    for (const std::string& note : report.notes) to_stderr("tplab: note: {}\n", note);
  }
  output.close();
  say_written(folder, report.bytes,
              "load it with GPT2LMHeadModel.from_pretrained in Python, or with --checkpoint here");
}

}  // namespace

void add_export(CLI::App& app, int&) {
  auto command = std::make_shared<ExportCommand>();
  CLI::App* sub = app.add_subcommand("export", "Write a model as a Hugging Face GPT-2 folder");
  sub->footer(R"(Examples:
  tplab export --checkpoint out/ckpt.safetensors -o exported
  tplab export --checkpoint ckpt.pt --tokenizer gpt2/ -o exported --json
  tplab verify --checkpoint exported --tp 1,2
Python then loads it: GPT2LMHeadModel.from_pretrained("exported"). Weights become f32.)");
  command->model.add_options(*sub);
  sub->add_option("--tokenizer", command->tokenizer,
                  "to export along: meta.pkl, or GPT-2's folder (what lies with the checkpoint)")
      ->type_name("PATH");
  add_seed(*sub, command->seed);
  sub->add_option("-o,--out", command->folder, "new, empty, or an older export, which is replaced")
      ->type_name("FOLDER")
      ->required();
  command->output.add_format_options(*sub);
  sub->callback([command] { command->run(); });
}

}  // namespace tplab::cli
