// The tensors of a PyTorch state dict: what its pickle says of each.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/files/pickle.h"
#include "model/files/stored.h"

namespace tplab {

struct TorchTensor {
  std::string storage;  // its key: the name of a zip entry
  StoredType type = StoredType::f32;
  int64_t begin = 0, end = 0;  // in the storage, in values: where it starts, past the last it needs
  Shape shape, strides;
};

struct StateDict {
  std::map<std::string, TorchTensor> tensors;  // under the names that the file has
  std::map<std::string, std::string> others;   // what is no tensor: name and kind
};

// How to save a checkpoint again as plain data: lines of Python, `change` between reading and
// saving.
std::string save_again(const std::string& change);

// Throws Error(bad_file), which begins with `path`, unless `value` is a dict under text whose
// tensors lie within their storages. Any strides will do: transposed, cut out, expanded.
StateDict read_state_dict(const pickle::Document& document, const pickle::Value& value,
                          const std::string& path);

}  // namespace tplab
