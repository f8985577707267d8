// Nothing in the pickle is trusted: sizes, strides and places are held against the storage.
#include "model/files/state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab {
namespace {

using pickle::Document;
using pickle::Ref;

constexpr int64_t kMostValues = int64_t{1} << 56;  // of a view that repeats what it has
constexpr const char* kSavedByTorch =
    "save it again with torch.save, as a dict of names and tensors: model.state_dict()";

// The items of a tuple of whole numbers that are not negative, as shapes and strides are.
Shape read_sizes(const Document& document, Ref ref, const std::string& where) {
  const auto* tuple = document.get<pickle::Tuple>(ref);
  Shape sizes;
  if (tuple && tuple->items.size() <= Shape::kMaxDims) {
    for (const Ref item : tuple->items) {
      const auto* size = document.get<int64_t>(item);
      if (size && *size >= 0) sizes.push_back(*size);
    }
  }
  if (!tuple || sizes.dims() != std::ssize(tuple->items)) {
    fail_file(where,
              fmt::format("its shape or strides are not a tuple of at most {} whole numbers",
                          Shape::kMaxDims),
              kSavedByTorch);
  }
  return sizes;
}

// How many values of a storage a view spans: 1 past its last one. INT64_MAX where that overflows.
int64_t extent(const Shape& shape, const Shape& strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t last = 0, count = 1;
  for (int i = 0; i < shape.dims(); ++i) {
    int64_t step = 0;
    if (__builtin_mul_overflow(shape[i] - 1, strides[i], &step) ||
        __builtin_add_overflow(last, step, &last) ||
        __builtin_mul_overflow(count, shape[i], &count) || count > kMostValues) {
      return INT64_MAX;
    }
  }
  return last == INT64_MAX ? last : last + 1;
}

struct Storage {
  std::optional<StoredType> type;  // nothing: one that is not known here
  std::string key;
  int64_t length;
  std::string_view type_name;
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
    if (tag && *tag == "storage" && type && key && length && *length >= 0 &&
        *length <= INT64_MAX / 8) {
      const bool is_known = known != stored_types().end();
      return {is_known ? std::optional(known->type) : std::nullopt, std::string(*key), *length,
              type->name};
    }
  }
  fail_file(where, "its storage is not as torch.save writes it", kSavedByTorch);
}

TorchTensor read_tensor(const Document& document, const pickle::Tensor& tensor,
                        const Storage& storage, const std::string& where) {
  const Shape shape = read_sizes(document, tensor.shape, where);
  const Shape strides = read_sizes(document, tensor.stride, where);
  const auto* begin = document.get<int64_t>(tensor.offset);

  const bool is_view = strides.dims() == shape.dims();
  const int64_t needed = is_view ? extent(shape, strides) : 0;
  if (!is_view || !begin || *begin < 0 || needed > storage.length ||
      *begin > storage.length - needed) {
    fail_file(where,
              fmt::format("shape {} with strides {} does not fit in its storage of {} values",
                          shape.text(), strides.text(), storage.length),
              "the file is corrupt: download or copy it again");
  }
  return {storage.key, *storage.type, *begin, *begin + needed, shape, strides};
}

}  // namespace

std::string save_again(const std::string& change) {
  return "where PyTorch is, and if you trust the file, save it again:\n"
         "    c = torch.load('ckpt.pt', map_location='cpu', weights_only=False)\n"
         "    " +
         change +
         "\n"
         "    torch.save(c, 'new.pt')";
}

StateDict read_state_dict(const Document& document, const pickle::Value& value,
                          const std::string& path) {
  const auto* items = document.items(value);
  if (!items) fail_file(path, "is no dict of tensors", kSavedByTorch);
  StateDict state;
  for (const auto& [key, ref] : *items) {
    const auto* text = document.get<std::string_view>(key);
    if (!text) fail_file(path, "its state dict has a key that is not text", kSavedByTorch);
    const std::string name(*text), where = fmt::format("{}: tensor {}", path, in_quotes(name));
    state.tensors.erase(name);  // the last of equal keys counts
    state.others.erase(name);
    const auto* tensor = document.get<pickle::Tensor>(ref);
    if (!tensor) {
      state.others[name] = document.kind(document[ref]);
      continue;
    }
    const Storage storage = read_storage(document, tensor->storage, where);
    if (storage.type) {
      state.tensors[name] = read_tensor(document, *tensor, storage, where);
    } else {
      state.others[name] = "a tensor in " + in_quotes(storage.type_name);
    }
  }
  return state;
}

}  // namespace tplab
