// Reading, and the names and metadata that reading expects.
#include "model/checkpoints/tplab_checkpoint.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "model/checkpoints/config_json.h"
#include "model/files/json.h"
#include "model/files/safetensors.h"
#include "model/files/slice.h"
#include "model/tokenizers/saved.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFormat = "tplab", kVersion = "1";
constexpr std::string_view kModel = "model.", kM = "adamw.m.", kV = "adamw.v.";
constexpr const char* kCopyRunAgain = "the file is corrupt, or edited: copy it again";

const std::string& text_at(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found != file.metadata().end()) return found->second;
  fail_file(file.path(), fmt::format("its metadata has no \"{}\"", key), kCopyRunAgain);
}

template <class Number>
Number number_at(const SafetensorsFile& file, const std::string& key) {
  const std::string& text = text_at(file, key);
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end && number >= 0) return number;
  fail_file(file.path(), fmt::format("its {} is {}, not a number from 0 up", key, in_quotes(text)),
            kCopyRunAgain);
}

void check_format(const SafetensorsFile& file) {
  const auto format = file.metadata().find("format");
  if (format == file.metadata().end() || format->second != kFormat) {
    fail_file(file.path(), "is a safetensors file, but no checkpoint of tplab's",
              "give a file that tplab train wrote");
  }
  if (text_at(file, "version") == kVersion) return;
  fail_file(file.path(),
            fmt::format("is of version {} of the format; this tplab knows version {}",
                        in_quotes(text_at(file, "version")), kVersion),
            "use the tplab that wrote it, or a newer one");
}

// The tensors whose names begin with `prefix`, without it; all of one of the two training dtypes.
FileTensors tensors_of(const SafetensorsFile& file, std::string_view prefix, StoredType type) {
  FileTensors tensors;
  for (const TensorInfo& info : file.tensors()) {
    if (!info.name.starts_with(prefix)) continue;
    if (info.type != type) {
      fail_file(file.path(),
                fmt::format("tensor {} is {}, and others are {}", in_quotes(info.name),
                            row_of(info.type).name, row_of(type).name),
                kCopyRunAgain);
    }
    tensors[info.name.substr(prefix.size())] = {.name = info.name,
                                                .bytes = file.bytes(),
                                                .offset = info.offset,
                                                .type = info.type,
                                                .shape = info.shape};
  }
  return tensors;
}

StoredType training_type(const SafetensorsFile& file) {
  for (const TensorInfo& info : file.tensors()) {
    if (info.type == StoredType::f32 || info.type == StoredType::f64) return info.type;
  }
  fail_file(file.path(), "has no tensor of f32 or f64", kCopyRunAgain);
}

bool begins_like_safetensors(const ByteSource& bytes) {
  struct {
    uint64_t length;
    char first;
  } begin = {};
  if (bytes.size() < 10) return false;
  bytes.read(0, &begin.length, 8);
  bytes.read(8, &begin.first, 1);
  return begin.first == '{' && begin.length <= static_cast<uint64_t>(bytes.size() - 8);
}

bool is_ours(const std::string& path) {
  const auto bytes = open_file(path);
  if (!begins_like_safetensors(*bytes)) return false;
  const SafetensorsFile file(bytes);
  const auto format = file.metadata().find("format");
  return format != file.metadata().end() && format->second == kFormat;
}

}  // namespace

std::vector<StateTensor> checkpoint_tensors(const Architecture& architecture) {
  std::vector<StateTensor> tensors;
  for (const std::string_view prefix : {kModel, kM, kV}) {
    for (const NamedTensor& p : named_tensors(architecture))
      tensors.push_back({std::string(prefix) + p.name, p.shape});
  }
  return tensors;
}

std::map<std::string, std::string> checkpoint_metadata(const CheckpointFacts& facts) {
  return {{"format", std::string(kFormat)},
          {"version", std::string(kVersion)},
          {"config", json_text(config_to_json(gpt_config(facts.architecture)))},
          {"step", fmt::format("{}", facts.step)},
          {"val_loss", fmt::format("{}", facts.val_loss)},  // the shortest that is exact
          {"best_val_loss", fmt::format("{}", facts.best_val_loss)},
          {"train", json_text(facts.train)},
          {"tokenizer", to_saved(facts.tokenizer, facts.folder)}};
}

std::optional<std::string> find_tplab_checkpoint(const std::string& path, Kept kept) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const std::string best = (fs::path(path) / kBestFile).string();
    const std::string last = (fs::path(path) / kLastFile).string();
    if (may_exist(last)) return kept == Kept::best && may_exist(best) ? best : last;
    return may_exist(best) && is_ours(best) ? std::optional(best) : std::nullopt;
  }
  if (!fs::is_regular_file(path, ignored)) return std::nullopt;
  if (const fs::path name = fs::path(path).filename(); name == kLastFile || name == kBestFile)
    return path;
  return is_ours(path) ? std::optional(path) : std::nullopt;
}

TplabCheckpoint::TplabCheckpoint(const std::string& path) : TplabCheckpoint(open_file(path)) {}

TplabCheckpoint::TplabCheckpoint(const std::shared_ptr<const ByteSource>& bytes)
    : path_(bytes->name()) {
  const SafetensorsFile file(bytes);
  check_format(file);
  metadata_ = file.metadata();
  const Architecture architecture =
      config_from_json(text_at(file, "config"), path_ + ": the metadata's config");
  step_ = number_at<int64_t>(file, "step");
  best_val_loss_ = number_at<double>(file, "best_val_loss");
  val_loss_ = metadata_.contains("val_loss") ? number_at<double>(file, "val_loss")
                                             : std::numeric_limits<double>::infinity();
  train_ = parse_json_object(text_at(file, "train"), path_ + ": the metadata's train");
  static_cast<void>(text_at(file, "tokenizer"));

  const StoredType type = training_type(file);
  dtype_ = type == StoredType::f64 ? DType::f64 : DType::f32;
  m_ = tensors_of(file, kM, type);
  v_ = tensors_of(file, kV, type);
  weights_ = make_file_weights(architecture, tensors_of(file, kModel, type), path_,
                               fmt::format("tplab checkpoint {}, step {}", path_, step_));
  // Moments are exactly the parameters too.
  m_weights_ = make_file_weights(architecture, m_, path_ + ", AdamW's m", description());
  v_weights_ = make_file_weights(architecture, v_, path_ + ", AdamW's v", description());
  const size_t n_tensors = 3 * m_.size();
  if (file.tensors().size() != n_tensors) {
    fail_file(path_,
              fmt::format("has {} tensors that are neither weights nor moments",
                          file.tensors().size() - n_tensors),
              kCopyRunAgain);
  }
}

void TplabCheckpoint::read_state(std::string_view moment, std::string_view parameter,
                                 const Slice& slice, int64_t local_begin, HostSpan out) const {
  const FileTensors& tensors = moment == "m" ? m_ : v_;
  const auto found = tensors.find(parameter);
  if (found == tensors.end() || (moment != "m" && moment != "v")) {
    fail(fmt::format("{}: there is no moment {} of {}", path_, in_quotes(moment),
                     in_quotes(parameter)),
         "this is a bug in tplab: please report it");
  }
  const FileTensor& tensor = found->second;
  const int64_t cols = cols_of(tensor.shape);
  if (!is_within(slice, tensor.shape[0], cols) || local_begin < 0 || out.count < 0 ||
      local_begin > slice.count() - out.count) {
    fail(fmt::format("{}: a slice of {} that is not in it", path_, in_quotes(parameter)),
         "this is a bug in tplab: please report it");
  }
  if (local_begin == 0 && out.count == slice.count()) {
    return read_slice({tensor.bytes.get(), tensor.offset, tensor.type, tensor.shape[0], cols},
                      slice, out);
  }
  const int64_t stored_bytes = row_of(tensor.type).size_bytes, out_bytes = size_bytes(out.dtype);
  for_each_run(slice, cols, local_begin, local_begin + out.count,
               [&](int64_t in_tensor, int64_t in_list, int64_t count) {
                 auto* to = static_cast<char*>(out.data) + (in_list - local_begin) * out_bytes;
                 const int64_t offset = tensor.offset + in_tensor * stored_bytes;
                 read_slice({tensor.bytes.get(), offset, tensor.type, 1, count},
                            {{{0, 1}}, {0, count}}, {out.dtype, to, count});
               });
}

bool TplabCheckpoint::has_tokenizer() const { return metadata_.at("tokenizer") != "null"; }

std::unique_ptr<Tokenizer> TplabCheckpoint::tokenizer() const {
  std::unique_ptr<Tokenizer> tokenizer = from_saved(metadata_.at("tokenizer"), path_);
  if (tokenizer && tokenizer->vocab_size() > architecture().vocabulary) {
    fail_file(path_,
              fmt::format("its tokenizer has {} tokens and its model {}", tokenizer->vocab_size(),
                          architecture().vocabulary),
              "name the model's tokenizer with --tokenizer PATH");
  }
  return tokenizer;
}

}  // namespace tplab
