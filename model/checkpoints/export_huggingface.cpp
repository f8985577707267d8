// Names are the same in both formats; Conv1D's weights are transposed, block by block.
#include "model/checkpoints/export_huggingface.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "model/files/new_folder.h"
#include "model/files/state_writer.h"
#include "model/name_table.h"
#include "model/tokenizers/bpe.h"
#include "model/tokenizers/characters.h"
#include "model/tokenizers/saved.h"
#include "sim/error.h"

namespace tplab {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char *kConfig = "config.json", *kWeights = "model.safetensors";
constexpr const char *kVocab = "vocab.json", *kMerges = "merges.txt";
// What may lie beside a tokenizer's vocabulary and goes along as it is.
constexpr std::array kBeside = {"added_tokens.json",      "special_tokens_map.json",
                                "tokenizer_config.json",  "tokenizer.json",
                                "generation_config.json", "chat_template.jinja"};
constexpr const char* kMark = "exported_by";        // a key of config.json that transformers keeps
constexpr int64_t kBlockValues = int64_t{4} << 20;  // 16 MiB of f32

bool is_older_export(const std::string& folder) {
  constexpr int64_t kMostBytes = int64_t{1} << 20;
  try {
    const std::string path = (fs::path(folder) / kConfig).string();
    return parse_json_object(read_all(*open_file(path), kMostBytes), path).value(kMark, "") ==
           "tplab";
  } catch (const Error&) {  // no config.json, or not a readable one
    return false;
  } catch (const nlohmann::json::exception&) {  // the mark is no text
    return false;
  }
}

Json config_of(const GptConfig& config, const Tokenizer* tokenizer) {
  const auto id = [](std::optional<int> token) { return token ? Json(*token) : Json(); };
  const Json begin = tokenizer ? id(tokenizer->start_of_text()) : Json();
  const Json end = tokenizer ? id(tokenizer->end_of_text()) : Json();
  return {{"architectures", {"GPT2LMHeadModel"}},
          {"model_type", "gpt2"},
          {kMark, "tplab"},
          {"activation_function", config.gelu == Gelu::tanh ? "gelu_new" : "gelu"},
          {"n_ctx", config.block_size},
          {"n_positions", config.block_size},
          {"n_embd", config.n_embd},
          {"n_layer", config.n_layer},
          {"n_head", config.n_head},
          {"n_inner", config.n_inner},
          {"vocab_size", config.vocab_size},
          {"layer_norm_epsilon", config.layer_norm_eps},
          {"tie_word_embeddings", config.tied_head},
          {"attn_pdrop", 0.0},
          {"embd_pdrop", 0.0},
          {"resid_pdrop", 0.0},
          {"scale_attn_weights", true},
          {"bos_token_id", begin},
          {"eos_token_id", end},
          {"torch_dtype", "float32"}};
}

// to[c, r] = from[r, c]; from: [rows, cols]. In tiles whose lines stay in the first cache.
void transpose(std::span<const float> from, int64_t rows, int64_t cols, std::span<float> to) {
  constexpr int64_t kTile = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    for (int64_t c0 = 0; c0 < cols; c0 += kTile) {
      for (int64_t c = c0; c < std::min(c0 + kTile, cols); ++c) {
        for (int64_t r = r0; r < std::min(r0 + kTile, rows); ++r) {
          to[static_cast<size_t>(c * rows + r)] = from[static_cast<size_t>(r * cols + c)];
        }
      }
    }
  }
}

// One parameter, block by block, so that a large one needs no more memory than a small one.
class Copier {
 public:
  Copier(const WeightSource& source, StateWriter& writer) : source_(source), writer_(writer) {}

  // shape: [rows] or [rows, cols], nanoGPT's.
  void copy(const std::string& name, const Shape& shape) {
    const int64_t rows = shape[0], cols = cols_of(shape);
    const int64_t step = std::max<int64_t>(1, kBlockValues / cols);
    for (int64_t r = 0; r < rows; r += step) {
      const Slice block = {{{r, std::min(r + step, rows)}}, {0, cols}};
      writer_.write(name, block, 0, block.count(), read(name, block).data());
    }
  }

  // A weight [out, in] into [in, out]: columns of the one are rows of the other.
  void copy_transposed(const std::string& name, int64_t out, int64_t in) {
    const int64_t step = std::max<int64_t>(1, kBlockValues / out);
    for (int64_t c = 0; c < in; c += step) {
      const Range part = {c, std::min(c + step, in)};
      const std::span<const float> columns = read(name, {{{0, out}}, part});
      turned_.resize(columns.size());
      transpose(columns, out, part.size(), turned_);
      const Slice rows = {{part}, {0, out}};
      writer_.write(name, rows, 0, rows.count(), turned_.data());
    }
  }

 private:
  std::span<const float> read(const std::string& name, const Slice& slice) {
    block_.resize(static_cast<size_t>(slice.count()));
    source_.read(name, slice, {DType::f32, block_.data(), slice.count()});
    return block_;
  }

  const WeightSource& source_;
  StateWriter& writer_;
  std::vector<float> block_, turned_;
};

bool is_transposed(const NamedTensor& tensor) {
  return name_row(gpt2_names(), tensor.id).transposed;
}

// Every parameter of the model as transformers has it, which is with biases. Returns the bytes.
int64_t write_weights(const WeightSource& source, const std::string& path) {
  GptConfig with_biases = gpt_config(source.architecture());
  with_biases.bias = true;
  std::vector<StateTensor> tensors;
  for (const NamedTensor& p : named_tensors(with_biases)) {
    tensors.push_back({p.name, p.shape});
    if (is_transposed(p)) std::swap(tensors.back().shape[0], tensors.back().shape[1]);
  }
  StateWriter writer(path, tensors, DType::f32, {{"format", "pt"}});
  Copier copier(source, writer);
  for (const NamedTensor& p : named_tensors(source.architecture())) {
    is_transposed(p) ? copier.copy_transposed(p.name, p.shape[0], p.shape[1])
                     : copier.copy(p.name, p.shape);
  }
  // Biases that the model has not: GPT2Config has no switch for them, and zeros add nothing. A
  // StateWriter's numbers are zeros until they are written.
  writer.commit();
  return writer.bytes();
}

std::string file_text(const fs::path& path) {
  constexpr int64_t kMostBytes = int64_t{256} << 20;
  return read_all(*open_file(path.string()), kMostBytes);
}

// transformers drops the first line, a version, and what follows the last newline.
std::string with_version(std::string merges) {
  if (!merges.starts_with("#version")) merges.insert(0, "#version: 0.2\n");
  if (!merges.ends_with('\n')) merges += '\n';
  return merges;
}

// Other files of a tokenizer; those of names that are not known are named, not copied.
void write_beside(const fs::path& from, NewFolder& folder, ExportReport& report) {
  for (const char* name : kBeside) {
    const bool is_written =
        std::find(report.files.begin(), report.files.end(), name) != report.files.end();
    if (is_written || !may_exist(from / name)) continue;
    folder.write(name, file_text(from / name));
    report.files.emplace_back(name);
  }
  std::vector<std::string> left;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(from.empty() ? "." : from, ignored)) {
    const std::string name = entry.path().filename().string();
    const bool is_known = std::find(kBeside.begin(), kBeside.end(), name) != kBeside.end();
    if (!is_known && name.find("token") != name.npos) left.push_back(in_quotes(name));
  }
  std::sort(left.begin(), left.end());
  if (!left.empty())
    report.notes.push_back("not copied from the tokenizer's folder: " + list_text(left));
}

void write_tokenizer(const Tokenizer& tokenizer, NewFolder& folder, ExportReport& report) {
  if (const auto* bpe = dynamic_cast<const BpeTokenizer*>(&tokenizer)) {
    for (const fs::path& file : bpe->files()) {
      std::string name = file.filename().string();
      if (name == "encoder.json") name = kVocab;
      if (name == "vocab.bpe") name = kMerges;
      if (file == bpe->path() && name != kVocab) name = "tokenizer.json";
      folder.write(name, name == kMerges ? with_version(file_text(file)) : file_text(file));
      report.files.push_back(name);
    }
    write_beside(bpe->path().parent_path(), folder, report);
  } else if (const auto* characters = dynamic_cast<const CharacterTokenizer*>(&tokenizer)) {
    folder.write(kVocab, to_character_vocab(characters->characters()));
    report.files.emplace_back(kVocab);
    report.notes.emplace_back(
        "vocab.json lists the characters by id: tplab reads it, transformers has no tokenizer of "
        "characters");
  }
}

}  // namespace

ExportReport export_huggingface(const WeightSource& source, const Tokenizer* tokenizer,
                                const std::string& folder) {
  const GptConfig config = gpt_config(source.architecture());
  if (tokenizer && tokenizer->vocab_size() > config.vocab_size) {
    fail(fmt::format("the tokenizer has {} tokens and the model {}: {}", tokenizer->vocab_size(),
                     config.vocab_size, tokenizer->description()),
         "give the tokenizer that belongs to the model");
  }
  std::vector<std::string> names = {kConfig, kWeights, kVocab, kMerges};
  names.insert(names.end(), kBeside.begin(), kBeside.end());
  NewFolder made(folder, names, is_older_export);
  ExportReport report;
  report.files = {kConfig, kWeights};
  made.write(kConfig, json_text(config_of(config, tokenizer), 2) + "\n");
  report.bytes = write_weights(source, made.path(kWeights));
  if (tokenizer) write_tokenizer(*tokenizer, made, report);
  if (!config.bias)
    report.notes.emplace_back("the model has no biases: zeros stand in their place");
  if (source.stored_dtype().find("f64") != std::string::npos)
    report.notes.emplace_back("f64 weights were rounded to f32");
  made.commit();
  return report;
}

}  // namespace tplab
