// tplab's own training checkpoint: one safetensors file with weights, AdamW's moments and the rest.
//
// Tensors are whole and logical, so that any mesh reads what any mesh wrote, in f64 or f32: the
// dtype of the training, or of its masters where that is bf16. They are "model.<nanoGPT's name>",
// "adamw.m.<name>" and "adamw.v.<name>". The metadata has "format"
// ("tplab"), "version" ("1"), "config" (JSON), "step", "val_loss" (of this step), "best_val_loss"
// (of the run), "train" (the trainer's options, a JSON object) and "tokenizer"
// (model/tokenizers/saved.h). A file of 0.1.0 has no "val_loss".
//
// A run's folder has two: ckpt.safetensors, of the last step that was saved, and best.safetensors,
// of the evaluation with the lowest loss.
#pragma once

#include <array>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "model/checkpoints/file_weights.h"
#include "model/files/state_writer.h"
#include "model/tokenizers/tokenizer.h"
#include "model/weights.h"

namespace tplab {

// What a checkpoint says beside its tensors.
struct CheckpointFacts {
  Architecture architecture;
  int64_t step = 0;                                                // steps taken
  double val_loss = std::numeric_limits<double>::infinity();       // infinite: not evaluated
  double best_val_loss = std::numeric_limits<double>::infinity();  // before the first evaluation
  nlohmann::json train = nlohmann::json::object();                 // the trainer's own
  const Tokenizer* tokenizer = nullptr;
  std::string folder = ".";  // where it is saved, which files beside it are seen from
};

inline constexpr const char* kLastFile = "ckpt.safetensors";
inline constexpr const char* kBestFile = "best.safetensors";

// For StateWriter: the names and shapes of all tensors, and the metadata.
std::vector<StateTensor> checkpoint_tensors(const Architecture& architecture);
std::map<std::string, std::string> checkpoint_metadata(const CheckpointFacts& facts);

enum class Kept { best, last };

// A file of this format, by what is in it; of a folder, the one of its two that is asked for, or
// the other where that is not there; else nothing. Throws Error(bad_file) for a safetensors file
// that is damaged.
std::optional<std::string> find_tplab_checkpoint(const std::string& path, Kept kept = Kept::best);

// Nothing in the file is trusted: everything throws Error(bad_file). Safe to read from many threads
// at once; values are converted to what is asked for. A newer file of the same name does not change
// what an open one reads.
class TplabCheckpoint final : public WeightSource {
 public:
  explicit TplabCheckpoint(const std::string& path);
  explicit TplabCheckpoint(const std::shared_ptr<const ByteSource>& file);

  const Architecture& architecture() const override { return weights_->architecture(); }
  std::string description() const override { return weights_->description(); }
  std::string stored_dtype() const override { return weights_->stored_dtype(); }
  std::vector<std::string> notes() const override { return weights_->notes(); }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    weights_->read(parameter, slice, out);
  }
  std::string place(std::string_view parameter, int64_t row, int64_t col) const override {
    return weights_->place(parameter, row, col);
  }

  // AdamW's moment "m" or "v" of a parameter: out.count numbers of the slice, seen as one row-major
  // list, from local_begin on. (A ZeRO rank holds only a range of its slice.)
  //   REQUIRES: the slice lies within the parameter, and the numbers within the slice.
  void read_state(std::string_view moment, std::string_view parameter, const Slice& slice,
                  int64_t local_begin, HostSpan out) const;
  void read_state(std::string_view moment, std::string_view parameter, const Slice& slice,
                  HostSpan out) const {
    read_state(moment, parameter, slice, 0, out);
  }

  // AdamW's "m" or "v" as weights of the model are: under the parameters' names.
  const WeightSource& moments(std::string_view moment) const {
    return moment == "m" ? *m_weights_ : *v_weights_;
  }

  DType dtype() const { return dtype_; }
  int64_t step() const { return step_; }
  double val_loss() const { return val_loss_; }  // infinite: not evaluated
  double best_val_loss() const { return best_val_loss_; }
  const std::string& path() const { return path_; }
  const nlohmann::json& train() const { return train_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  bool has_tokenizer() const;
  std::unique_ptr<Tokenizer> tokenizer() const;  // null where it has none

 private:
  std::string path_;
  std::map<std::string, std::string> metadata_;
  int64_t step_ = 0;
  double val_loss_ = 0, best_val_loss_ = 0;
  nlohmann::json train_;
  DType dtype_ = DType::f32;
  FileTensors m_, v_;
  std::unique_ptr<WeightSource> weights_, m_weights_, v_weights_;
};

}  // namespace tplab
