#include "verify/golden.h"

#include <fmt/format.h>

#include <charconv>

#include "model/checkpoints/safetensors.h"
#include "sim/error.h"

namespace tplab {

namespace {

// What other programs call our sites: llm-viz's names for the parts of nanoGPT's block 0.
struct Alias {
  std::string_view theirs, ours;
};
constexpr Alias kAliases[] = {
    {"tok_emb", "embed/tok"},          {"pos_emb", "embed/pos"},    {"x", "embed/out"},
    {"ln1", "block 0/ln_1"},           {"qkv", "block 0/attn/qkv"}, {"q", "block 0/attn/q"},
    {"k", "block 0/attn/k"},           {"v", "block 0/attn/v"},     {"att", "block 0/attn/scores"},
    {"attSm", "block 0/attn/softmax"}, {"y", "block 0/attn/heads"}, {"yProj", "block 0/attn/proj"},
    {"attnResid", "block 0/mid"},      {"ln2", "block 0/ln_2"},     {"fc", "block 0/mlp/fc"},
    {"gelu", "block 0/mlp/gelu"},      {"mlp", "block 0/mlp/proj"}, {"mlpResid", "block 0/out"},
};

// Our site for a name in the file, without its "activation."; the name itself if it has no alias.
std::string site_of(std::string_view theirs) {
  for (const Alias& alias : kAliases) {
    if (theirs == alias.theirs) return std::string(alias.ours);
  }
  if (theirs.starts_with("block")) {  // block3: the output of block 3
    const std::string_view number = theirs.substr(5);
    int layer = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), layer);
    if (error == std::errc() && end == number.data() + number.size())
      return fmt::format("block {}/out", layer);
  }
  return std::string(theirs);
}

DType dtype_of_stored(StoredType type) { return type == StoredType::f64 ? DType::f64 : DType::f32; }

// The first `count` integers of a tensor, as token ids.
std::vector<int32_t> read_ids(const SafetensorsFile& file, std::string_view name, int64_t count,
                              int64_t vocab_size, bool may_be_ignored) {
  const std::vector<int64_t> all = file.read_integers(name);
  if (static_cast<int64_t>(all.size()) < count)
    fail_file(file.path(), fmt::format("'{}' has {} ids and needs {}", name, all.size(), count),
              "write it with the shape of x");
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = all[static_cast<size_t>(i)];
    if (id >= vocab_size || id < (may_be_ignored ? -1 : 0))
      fail_file(file.path(),
                fmt::format("'{}' holds the token id {}, outside the vocabulary of {}", name, id,
                            vocab_size),
                "use the golden file that belongs to this model");
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

void read_tokens(const SafetensorsFile& file, const GptConfig& config, Golden& golden) {
  if (!file.find("x"))
    fail_file(file.path(), "there is no tensor 'x', the token ids that went in",
              "write x as int64 [B, T] beside logits [B, T, V]");
  const std::vector<int64_t>& shape = file.at("x").shape;
  if (shape.size() < 2 || shape.size() > 3)
    fail_file(file.path(), "'x' must be [B, T], or [N, B, T] of which the first batch is used",
              "reshape x");
  golden.tokens.batch = shape[shape.size() - 2];
  golden.tokens.length = shape.back();
  if (golden.tokens.batch < 1 || golden.tokens.length < 1 ||
      golden.tokens.length > config.block_size)
    fail_file(file.path(),
              fmt::format("'x' has {} tokens a row, and the model's context is {}",
                          golden.tokens.length, config.block_size),
              "use the golden file that belongs to this model");
  const int64_t count = golden.tokens.batch * golden.tokens.length;
  golden.tokens.ids = read_ids(file, "x", count, config.vocab_size, false);
  if (file.find("y")) golden.targets = read_ids(file, "y", count, config.vocab_size, true);
}

// greedy [1, n]: what continues the beginning of x's first row. They share at least the prompt.
void read_greedy(const SafetensorsFile& file, const GptConfig& config, Golden& golden) {
  const TensorInfo* info = file.find("greedy");
  if (!info) return;
  if (info->shape.size() > 2 || (info->shape.size() == 2 && info->shape[0] != 1))
    fail_file(file.path(), fmt::format("'greedy' is {}, not [1, n]", shape_text(info->shape)),
              "write one sequence: the prompt and the tokens that follow it");
  const std::vector<int32_t> all = read_ids(file, "greedy", info->count, config.vocab_size, false);
  size_t shared = 0;
  while (shared < all.size() && shared < static_cast<size_t>(golden.tokens.length) &&
         all[shared] == golden.tokens.ids[shared])
    ++shared;
  if (shared == 0)
    fail_file(file.path(), "'greedy' does not begin as the first row of x does",
              "write greedy as the prompt and the tokens that follow it");
  const auto split = all.begin() + static_cast<std::ptrdiff_t>(shared);
  golden.greedy_prompt.assign(all.begin(), split);
  golden.greedy_new.assign(split, all.end());
}

}  // namespace

Golden read_golden(const std::string& path, const GptConfig& config) {
  const SafetensorsFile file(path);
  Golden golden;
  read_tokens(file, config, golden);
  read_greedy(file, config, golden);
  if (const TensorInfo* loss = file.find("loss"); loss && !golden.targets.empty()) {
    const std::vector<double> values = file.read_doubles("loss");
    if (values.size() != 1) fail_file(path, "'loss' is not one number", "write the mean loss");
    golden.loss = values[0];
    golden.loss_dtype = dtype_of_stored(loss->type);
  }
  constexpr std::string_view kPrefix = "activation.";
  for (const TensorInfo& info : file.tensors()) {
    std::string site;
    if (info.name == "logits") {
      site = "head/logits";
    } else if (info.name.starts_with(kPrefix)) {
      site = site_of(std::string_view(info.name).substr(kPrefix.size()));
    } else {
      continue;
    }
    golden.tensors.push_back(
        {info.name, site, info.shape, dtype_of_stored(info.type), file.read_doubles(info.name)});
  }
  return golden;
}

}  // namespace tplab
