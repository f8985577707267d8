#include "model/checkpoints/nanogpt_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "model/checkpoints/file_weights.h"
#include "model/checkpoints/tensor_names.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab {
namespace {

using pickle::Document;
using pickle::Value;
using Items = std::vector<std::pair<pickle::Ref, pickle::Ref>>;

// "'model', 'optimizer' and 3 more": the keys that are text.
std::string keys_text(const Document& document, const pickle::Dict& dict) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : dict.items) {
    if (const auto* text = document.get<std::string_view>(key)) keys.push_back(in_quotes(*text));
  }
  return keys.empty() ? "no keys that are text" : list_text(keys);
}

// The outermost dict, which has a state dict under 'model'.
const pickle::Dict& read_root(const Document& document, const std::string& path) {
  const auto* root = std::get_if<pickle::Dict>(&document.root());
  if (!root) {
    fail_file(path,
              fmt::format("is {}, not a dict with 'model' and 'model_args'",
                          document.kind(document.root())),
              save_again("c = {'model': c.state_dict(), 'model_args': {'n_layer': ...}}"));
  }
  const Value* model = document.find(*root, "model");
  const bool has_tensors =
      std::any_of(root->items.begin(), root->items.end(),
                  [&](const auto& item) { return document.get<pickle::Tensor>(item.second); });
  if (!model && has_tensors) {
    fail_file(path, "is a state dict alone: tensors, but not the model's sizes",
              "if it is a file of a Hugging Face folder, give the folder; else, " +
                  save_again("c = {'model': c, 'model_args': {'n_layer': ...}}"));
  }
  if (!model) {
    fail_file(path, fmt::format("has no 'model'; it has {}", keys_text(document, *root)),
              save_again("c = {'model': c[...], 'model_args': {'n_layer': ...}}"));
  }
  if (!document.items(*model)) {
    fail_file(path, fmt::format("'model' is {}, not a dict of tensors", document.kind(*model)),
              save_again("c['model'] = c['model'].state_dict()"));
  }
  return *root;
}

// Where the sizes are: 'model_args', or the 'config' of build-nanogpt, which has no 'model_args'.
struct Sizes {
  std::string_view key;
  const Items* items;
  std::string kind, where;
};

struct StateSize {
  std::string_view key;
  int64_t GptConfig::*member;
};
constexpr StateSize kStateSizes[] = {{"n_layer", &GptConfig::n_layer},
                                     {"n_head", &GptConfig::n_head},
                                     {"n_embd", &GptConfig::n_embd},
                                     {"block_size", &GptConfig::block_size},
                                     {"vocab_size", &GptConfig::vocab_size}};

bool has_sizes(const Document& document, const Items& items) {
  return std::all_of(std::begin(kStateSizes), std::end(kStateSizes), [&](const StateSize& row) {
    return std::any_of(items.begin(), items.end(), [&](const auto& item) {
      const auto* key = document.get<std::string_view>(item.first);
      return key && *key == row.key;
    });
  });
}

Sizes find_sizes(const Document& document, const pickle::Dict& root, const std::string& path) {
  for (const std::string_view key : {"model_args", "config"}) {
    const Value* value = document.find(root, key);
    if (!value) continue;
    const Items* items = document.attributes(*value);
    const std::string kind = document.kind(*value);
    if (items && (key == "model_args" || has_sizes(document, *items)))
      return {key, items, kind, fmt::format("{}: '{}'", path, key)};
    if (items) continue;  // nanoGPT's 'config' is of the training run
    fail_file(path, fmt::format("'{}' is {}, not a dict of the model's sizes", key, kind),
              save_again(fmt::format("c['model_args'] = vars(c['{}'])", key)));
  }
  fail_file(
      path,
      fmt::format("has neither 'model_args' nor 'config', which give the model's sizes; it has "
                  "{}",
                  keys_text(document, root)),
      save_again("c['model_args'] = {'n_layer': ..., 'n_head': ..., 'n_embd': ...}"));
}

// One entry of the sizes. Returns its key.
std::string_view read_argument(const Document& document, const Sizes& sizes, pickle::Ref key,
                               const Value& value, GptConfig& config) {
  const auto* text = document.get<std::string_view>(key);
  const std::string_view name = text ? *text : std::string_view();  // no text: no key that is known
  const auto* number = std::get_if<int64_t>(&value);
  const auto* flag = std::get_if<bool>(&value);
  const auto size = std::find_if(std::begin(kStateSizes), std::end(kStateSizes),
                                 [&](const StateSize& row) { return row.key == name; });
  const bool is_size = size != std::end(kStateSizes), is_bias = name == "bias";
  if (is_size && number) {
    config.*size->member = *number;
  } else if (is_bias && flag) {
    config.bias = *flag;
  } else if (is_size || is_bias) {
    const char* wanted = is_size ? "a whole number" : "True or False";
    fail_file(sizes.where, fmt::format("'{}' is {}, not {}", name, document.kind(value), wanted),
              save_again(fmt::format("c['{0}']['{1}'] = {2}(c['{0}']['{1}'])", sizes.key, name,
                                     is_size ? "int" : "bool")));
  } else if (name != "dropout") {
    fail_file(sizes.where,
              fmt::format("has {}, which nanoGPT's GPTConfig lacks",
                          text ? in_quotes(name) : "a key that is not text"),
              "tplab knows n_layer, n_head, n_embd, block_size, vocab_size, bias and dropout; a "
              "changed model needs its own code");
  }
  return name;
}

// The sizes' keys are all known: one that is not may change the network.
void read_config(const Document& document, const Sizes& sizes, NanoGptState& state) {
  GptConfig& config = state.config;
  std::set<std::string_view> found;
  for (const auto& [key, ref] : *sizes.items)
    found.insert(read_argument(document, sizes, key, document[ref], config));
  for (const StateSize& row : kStateSizes) {
    if (found.count(row.key)) continue;
    fail_file(sizes.where, fmt::format("has no '{}'", row.key),
              "the model's sizes are n_layer, n_head, n_embd, block_size and vocab_size");
  }
  constexpr int64_t kMostEmbd = int64_t{1} << 24;  // 4 C is computed before check() sees C
  config.n_inner = 4 * std::clamp<int64_t>(config.n_embd, 0, kMostEmbd);
  // build-nanogpt's GPTConfig has neither bias nor dropout: always biases, and GELU's tanh form.
  const bool is_build_nanogpt =
      sizes.key == "config" && !found.count("bias") && !found.count("dropout");
  if (is_build_nanogpt) config.gelu = Gelu::tanh;
  if (sizes.key == "config") {
    state.notes.push_back(fmt::format(
        "the model's sizes are in 'config', which is {}{}", sizes.kind,
        is_build_nanogpt ? ": taken for build-nanogpt's, with GELU in its tanh form" : ""));
  }
  check_file_config(config, sizes.where);
}

}  // namespace

NanoGptState read_nanogpt_state(const Document& document, const std::string& path) {
  const pickle::Dict& root = read_root(document, path);
  NanoGptState state;
  read_config(document, find_sizes(document, root, path), state);
  state.model = read_state_dict(document, *document.find(root, "model"), path);
  for (const auto& [name, kind] : state.model.others) {
    if (!is_model_name(name)) continue;
    fail_file(path, fmt::format("tensor {} of 'model' is {}", in_quotes(name), kind),
              save_again("c['model'] = {k: torch.as_tensor(v) for k, v in c['model'].items()}"));
  }
  const Value* iteration = document.find(root, "iter_num");
  if (!iteration) iteration = document.find(root, "step");  // build-nanogpt's
  if (const auto* number = iteration ? std::get_if<int64_t>(iteration) : nullptr) {
    state.iteration = *number;
  }
  return state;
}

}  // namespace tplab
