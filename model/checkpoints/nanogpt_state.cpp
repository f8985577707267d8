#include "model/checkpoints/nanogpt_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/checkpoints/bytes.h"
#include "sim/error.h"

namespace tplab {
namespace {

using pickle::Document;
using pickle::Ref;

constexpr const char* kTrainPy =
    "tplab reads what nanoGPT's train.py saves: a dict with 'model' (a state dict) and "
    "'model_args'";

// The value of a key that must be there and be a dict.
const pickle::Dict& dict_at(const Document& document, std::string_view key,
                            const std::string& path) {
  const auto* root = std::get_if<pickle::Dict>(&document.root());
  const pickle::Value* value = root ? document.find(*root, key) : nullptr;
  const auto* dict = value ? std::get_if<pickle::Dict>(value) : nullptr;
  if (!dict) fail_file(path, fmt::format("has no dict named '{}'", key), kTrainPy);
  return *dict;
}

// model_args, whose keys are all known: one that is not may change the network.
GptConfig read_config(const Document& document, const std::string& path) {
  const pickle::Dict& arguments = dict_at(document, "model_args", path);
  GptConfig config;
  for (const auto& [key, ref] : arguments.items) {
    const auto* name = document.get<std::string_view>(key);
    const std::string shown = name ? in_quotes(*name) : "a key that is not text";
    const auto* number = document.get<int64_t>(ref);
    const auto* flag = document.get<bool>(ref);
    int64_t* size = !name                   ? nullptr
                    : *name == "n_layer"    ? &config.n_layer
                    : *name == "n_head"     ? &config.n_head
                    : *name == "n_embd"     ? &config.n_embd
                    : *name == "block_size" ? &config.block_size
                    : *name == "vocab_size" ? &config.vocab_size
                                            : nullptr;
    if (size && number) {
      *size = *number;
    } else if (name && *name == "bias" && flag) {
      config.bias = *flag;
    } else if (!name || *name != "dropout") {
      fail_file(path,
                "model_args has " + shown +
                    ", which nanoGPT's GPTConfig lacks or gives "
                    "another type",
                "tplab knows n_layer, n_head, n_embd, block_size, vocab_size, bias and dropout; a "
                "changed model needs its own code");
    }
  }
  constexpr int64_t kMostEmbd = int64_t{1} << 24;  // 4 C is computed before check() sees C
  config.n_inner = 4 * std::clamp<int64_t>(config.n_embd, 0, kMostEmbd);
  return config;
}

// The items of a tuple of whole numbers that are not negative, as shapes and strides are.
std::vector<int64_t> read_sizes(const Document& document, Ref ref, const std::string& where) {
  constexpr size_t kMostDimensions = 32;
  const auto* tuple = document.get<pickle::Tuple>(ref);
  std::vector<int64_t> sizes;
  if (tuple && tuple->items.size() <= kMostDimensions) {
    for (const Ref item : tuple->items) {
      const auto* size = document.get<int64_t>(item);
      if (size && *size >= 0) sizes.push_back(*size);
    }
  }
  if (!tuple || sizes.size() != tuple->items.size()) {
    fail_file(where, "its shape or strides are not a tuple of whole numbers", kTrainPy);
  }
  return sizes;
}

bool is_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  if (shape.size() != strides.size()) return false;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    if (__builtin_mul_overflow(expected, shape[i], &expected)) return false;
  }
  return true;
}

struct Storage {
  StoredType type;
  std::string key;
  int64_t length;
};

// ('storage', torch.FloatStorage, key, device, length)
Storage read_storage(const Document& document, Ref ref, const std::string& where) {
  const auto* persistent = document.get<pickle::Persistent>(ref);
  const auto* tuple = persistent ? document.get<pickle::Tuple>(persistent->id) : nullptr;
  if (tuple && tuple->items.size() == 5) {
    const auto* tag = document.get<std::string_view>(tuple->items[0]);
    const auto* type = document.get<pickle::Global>(tuple->items[1]);
    const auto* key = document.get<std::string_view>(tuple->items[2]);
    const auto* length = document.get<int64_t>(tuple->items[4]);
    const auto known =
        std::find_if(stored_types().begin(), stored_types().end(), [&](const StoredTypeRow& row) {
          return type && type->module == "torch" && type->name == row.torch_storage;
        });
    if (tag && *tag == "storage" && known != stored_types().end() && key && length &&
        *length >= 0 && *length <= INT64_MAX / 8) {
      return {known->type, std::string(*key), *length};
    }
  }
  fail_file(where, "its storage is not as torch.save writes it", kTrainPy);
}

NanoGptTensor read_tensor(const Document& document, Ref ref, const std::string& where) {
  const auto* tensor = document.get<pickle::Tensor>(ref);
  if (!tensor) fail_file(where, "is not a tensor", kTrainPy);
  const Storage storage = read_storage(document, tensor->storage, where);
  const std::vector<int64_t> shape = read_sizes(document, tensor->shape, where);
  const std::vector<int64_t> strides = read_sizes(document, tensor->stride, where);
  const auto* begin = document.get<int64_t>(tensor->offset);

  int64_t count = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(count, size, &count)) count = INT64_MAX;
  }
  if (!begin || *begin < 0 || count > storage.length || *begin > storage.length - count) {
    fail_file(where,
              fmt::format("shape {} does not fit in its storage of {} values", shape_text(shape),
                          storage.length),
              "the file is corrupt: download or copy it again");
  }
  if (!is_contiguous(shape, strides)) {
    fail_file(where,
              fmt::format("shape {} with strides {} is not contiguous", shape_text(shape),
                          shape_text(strides)),
              "save {k: v.contiguous() for k, v in model.state_dict().items()}");
  }
  return {storage.key, storage.type, *begin, *begin + count, shape};
}

}  // namespace

NanoGptState read_nanogpt_state(const Document& document, const std::string& path) {
  NanoGptState state;
  state.config = read_config(document, path);
  for (const auto& [key, ref] : dict_at(document, "model", path).items) {
    const auto* text = document.get<std::string_view>(key);
    if (!text) fail_file(path, "its state dict has a key that is not text", kTrainPy);
    std::string_view name = *text;
    constexpr std::string_view kCompiled = "_orig_mod.";  // torch.compile's prefix
    if (name.starts_with(kCompiled)) name.remove_prefix(kCompiled.size());
    // nanoGPT's causal mask, a buffer where PyTorch has no flash attention.
    if (name.ends_with(".attn.bias")) continue;
    const std::string where = fmt::format("{}: tensor {}", path, in_quotes(name));
    if (!state.tensors.emplace(name, read_tensor(document, ref, where)).second) {
      fail_file(where, "occurs twice", kTrainPy);
    }
  }
  const pickle::Value* iteration =
      document.find(std::get<pickle::Dict>(document.root()), "iter_num");
  if (const auto* number = iteration ? std::get_if<int64_t>(iteration) : nullptr) {
    state.iteration = *number;
  }
  return state;
}

}  // namespace tplab
