#include "cli/train_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli/command.h"
#include "cli/same_files.h"
#include "model/checkpoints/checkpoint.h"
#include "model/checkpoints/own_tokenizer.h"
#include "model/files/bytes.h"
#include "model/finite.h"
#include "model/init.h"
#include "model/training/documentation.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

// A run's ids must go on meaning what they meant when they were learned.
void check_same_tokens(const TplabCheckpoint& run, const Tokenizer& given,
                       const std::string& path) {
  std::unique_ptr<Tokenizer> own;
  try {
    own = run.tokenizer();
  } catch (const Error&) {  // its files are not where they were: hence the one that is given
  }
  if (!own) return;
  const int count = std::max(given.vocab_size(), own->vocab_size());
  for (int id = 0; id < count; ++id) {
    const auto text = [id](const Tokenizer& of) {
      return id < of.vocab_size() ? in_quotes(of.decode(std::array{id})) : "nothing";
    };
    if (text(given) == text(*own)) continue;
    fail(fmt::format("--tokenizer {} is not what the run learned with: token {} is {} there and {} "
                     "here",
                     path, id, text(*own), text(given)),
         "drop --tokenizer, or begin a new run from these weights with --checkpoint");
  }
}

}  // namespace

void TrainStart::take_up(const std::string& resume, std::string& out) {
  resume_ = resume;
  if (resume.empty()) {
    if (out.empty()) out = "out";
    settings_.suit_documentation();
    return;
  }
  if (!may_exist(resume))
    fail_file(resume, "no such file or folder", "give the folder that `tplab train` wrote");
  const auto file = find_tplab_checkpoint(resume, Kept::last);
  if (!file) {
    static_cast<void>(open_checkpoint(resume));  // says what is wrong with it, if something is
    fail_file(
        resume, "is no training run of tplab's",
        "give the folder that `tplab train` wrote, or start from its weights with --checkpoint");
  }
  resumed_ = std::make_shared<TplabCheckpoint>(*file);
  settings_.take_up(*resumed_);
  first_step_ = resumed_->step();
  if (!out.empty()) return;
  const std::filesystem::path folder = std::filesystem::path(*file).parent_path();
  out = folder.empty() ? "." : folder.string();
}

void TrainStart::check_numbers() const {
  const DType dtype = parse_dtype(settings_.dtype);
  if (resumed_ || !settings_.checkpoint.empty()) require_finite(*source_, dtype);
  if (!resumed_) return;
  require_finite(resumed_->moments("m"), accumulator(dtype));
  require_finite_from_zero(resumed_->moments("v"), accumulator(dtype));
}

void TrainStart::open_model() {
  if (resumed_) {
    source_ = resumed_;
    require_same_everywhere(resume_, *source_);
  }
  if (!resumed_ && !settings_.checkpoint.empty()) source_ = open_weights(settings_.checkpoint);
  if (source_) {
    if (settings_.seq == 0) settings_.seq = architecture().context;
    open_data(&architecture());
    return;
  }
  if (settings_.seq == 0)
    settings_.seq =
        settings_.block ? settings_.block : find_preset(settings_.preset).config.block_size;
  open_data(nullptr);
  source_ = initial_weights(settings_.new_model(dataset_.vocab_size), {.seed = settings_.seed});
}

// known: the model, if there is one already. Its tokenizer is found beside it or in it.
std::shared_ptr<const Tokenizer> TrainStart::open_tokenizer(const Architecture* known) const {
  if (!settings_.tokenizer.empty()) {
    std::shared_ptr<const Tokenizer> given = cli::open_tokenizer(settings_.tokenizer);
    if (resumed_) check_same_tokens(*resumed_, *given, settings_.tokenizer);
    return given;
  }
  if (resumed_ && resumed_->has_tokenizer()) return resumed_->tokenizer();
  if (!known || !settings_.data.empty()) return nullptr;
  return cli::open_tokenizer(find_tokenizer(resumed_ ? resume_ : settings_.checkpoint));
}

void TrainStart::open_data(const Architecture* known) {
  DatasetOptions options{
      .block_size = settings_.seq,
      .tokenizer = open_tokenizer(known),
      .special = settings_.special ? SpecialTokens::allow : SpecialTokens::as_text,
      .id_width = parse_id_width(settings_.data_dtype)};
  if (known) options.vocab_size = known->vocabulary;
  if (const std::string name = settings_.text_or_data(); !name.empty()) {
    dataset_ = open_dataset(name, options);
    require_same_everywhere(name, dataset_);
  } else {
    dataset_ = dataset_of_text(documentation_text(), "tplab's documentation", options);
  }
  if (known && dataset_.vocab_size > known->vocabulary)
    fail(fmt::format("the data has {} tokens and the model knows {}", dataset_.vocab_size,
                     known->vocabulary),
         "use the tokenizer that belongs to the model: --tokenizer PATH");
}

}  // namespace tplab::cli
