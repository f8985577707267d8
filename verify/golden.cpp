// Reading a golden file: every name and shape is checked against the model before it is used.
#include "verify/golden.h"

#include <fmt/format.h>

#include <charconv>

#include "model/checkpoints/safetensors.h"
#include "model/weights.h"
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

// The integers [begin, end) of a tensor, as token ids.
std::vector<int32_t> read_ids(const SafetensorsFile& file, std::string_view name, Range range,
                              int64_t vocab_size, bool may_be_ignored) {
  const std::vector<int64_t> all = file.read_integers(name);
  if (static_cast<int64_t>(all.size()) < range.end)
    fail_file(file.path(), fmt::format("'{}' has {} ids and needs {}", name, all.size(), range.end),
              "write it with the shape of x");
  std::vector<int32_t> ids;
  for (int64_t i = range.begin; i < range.end; ++i) {
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
  golden.tokens.ids = read_ids(file, "x", {0, count}, config.vocab_size, false);
  if (file.find("y")) golden.targets = read_ids(file, "y", {0, count}, config.vocab_size, true);
}

// greedy [1, n]: what continues the beginning of x's first row. They share at least the prompt.
void read_greedy(const SafetensorsFile& file, const GptConfig& config, Golden& golden) {
  const TensorInfo* info = file.find("greedy");
  if (!info) return;
  if (info->shape.size() > 2 || (info->shape.size() == 2 && info->shape[0] != 1))
    fail_file(file.path(), fmt::format("'greedy' is {}, not [1, n]", shape_text(info->shape)),
              "write one sequence: the prompt and the tokens that follow it");
  const std::vector<int32_t> all =
      read_ids(file, "greedy", {0, info->count}, config.vocab_size, false);
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

// A tensor of training, and that its format counts towards train_dtype.
std::vector<double> read_training(const SafetensorsFile& file, const TensorInfo& info,
                                  Golden& golden) {
  if (dtype_of_stored(info.type) != DType::f64) golden.train_dtype = DType::f32;
  return file.read_doubles(info.name);
}

// A tensor that holds something of a parameter: what it holds, under the parameter's name.
void read_parameter(const SafetensorsFile& file, const TensorInfo& info, const std::string& name,
                    const GptConfig& config, std::map<std::string, std::vector<double>>& into,
                    Golden& golden) {
  for (const ParameterInfo& p : parameters(config)) {
    if (p.name != name) continue;
    if (p.shape != info.shape)
      fail_file(file.path(),
                fmt::format("'{}' is {}, and the model's parameter {}", info.name,
                            shape_text(info.shape), shape_text(p.shape)),
                "write it in nanoGPT's layout, linears [out, in]");
    into[name] = read_training(file, info, golden);
    return;
  }
  fail_file(file.path(),
            fmt::format("'{}' belongs to no parameter: this model has no '{}'", info.name, name),
            "use nanoGPT's names, and the golden file that belongs to this model");
}

// The K of "after<K>.<parameter>", and where the parameter's name begins; 0 if it is no such name.
struct AfterName {
  int64_t steps = 0;
  size_t name_begins = 0;
};
AfterName parse_after(std::string_view name) {
  constexpr std::string_view kPrefix = "after";
  if (!name.starts_with(kPrefix)) return {};
  AfterName parsed;
  const char* end_of_name = name.data() + name.size();
  const auto [end, error] =
      std::from_chars(name.data() + kPrefix.size(), end_of_name, parsed.steps);
  if (error != std::errc() || end == end_of_name || *end != '.') return {};
  parsed.name_begins = static_cast<size_t>(end + 1 - name.data());
  return parsed;
}

// All that speaks of optimizer steps must speak of the same number.
void set_steps(const SafetensorsFile& file, const std::string& tensor, int64_t steps,
               Golden& golden) {
  if (steps < 1)
    fail_file(file.path(), fmt::format("'{}' is of {} optimizer steps", tensor, steps),
              "write at least one step, or leave it out");
  if (golden.steps != 0 && golden.steps != steps)
    fail_file(
        file.path(),
        fmt::format("'{}' is of {} optimizer steps, and others of {}", tensor, steps, golden.steps),
        "write train.losses [K], train.grad_norms [K] and after<K>.* of the same K");
  golden.steps = steps;
}

// Batches 1 to `steps` of x and y [N, B, T].
void read_train_batches(const SafetensorsFile& file, const GptConfig& config, Golden& golden) {
  const std::vector<int64_t>& shape = file.at("x").shape;
  const int64_t batches = shape.size() == 3 ? shape[0] : 1;
  if (batches - 1 < golden.steps)
    fail_file(file.path(),
              fmt::format("{} optimizer steps need a batch each, and x has {} after the first",
                          golden.steps, batches - 1),
              "write x and y as [1 + steps, B, T]: one batch to evaluate, then one a step");
  const TensorInfo* y = file.find("y");
  if (!y || y->shape != shape)
    fail_file(file.path(),
              fmt::format("training needs 'y' of the shape of x, {}", shape_text(shape)),
              "write the targets, -1 for those that do not count");
  const int64_t count = golden.tokens.batch * golden.tokens.length;
  const Range all = {count, (golden.steps + 1) * count};
  const std::vector<int32_t> ids = read_ids(file, "x", all, config.vocab_size, false);
  const std::vector<int32_t> targets = read_ids(file, "y", all, config.vocab_size, true);
  for (int64_t begin = 0; begin < all.size(); begin += count) {
    const auto batch = [&](const std::vector<int32_t>& of) -> std::vector<int32_t> {
      return {of.begin() + begin, of.begin() + begin + count};
    };
    golden.train_tokens.push_back({golden.tokens.batch, golden.tokens.length, batch(ids)});
    golden.train_targets.push_back(batch(targets));
  }
}

// grad.*, train.* and after<K>.*
void read_trained(const SafetensorsFile& file, const GptConfig& config, Golden& golden) {
  constexpr std::string_view kGrad = "grad.";
  for (const TensorInfo& info : file.tensors()) {
    if (info.name.starts_with(kGrad)) {
      if (golden.targets.empty())
        fail_file(file.path(), fmt::format("'{}' is the gradient of a loss without 'y'", info.name),
                  "write y, the targets, with the shape of x");
      read_parameter(file, info, info.name.substr(kGrad.size()), config, golden.gradients, golden);
    } else if (info.name == "train.losses" || info.name == "train.grad_norms") {
      if (info.shape.size() != 1)
        fail_file(file.path(),
                  fmt::format("'{}' is {}, not [steps]", info.name, shape_text(info.shape)),
                  "write one number a step");
      set_steps(file, info.name, info.shape[0], golden);
      auto& into = info.name == "train.losses" ? golden.train_losses : golden.train_grad_norms;
      into = read_training(file, info, golden);
    } else if (const AfterName after = parse_after(info.name); after.name_begins != 0) {
      set_steps(file, info.name, after.steps, golden);
      read_parameter(file, info, info.name.substr(after.name_begins), config, golden.after, golden);
    }
  }
  if (golden.steps > 0) read_train_batches(file, config, golden);
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
  read_trained(file, config, golden);
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
