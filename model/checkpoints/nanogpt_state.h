// What the pickle of a nanoGPT checkpoint says: the config, and which storage holds each tensor.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/checkpoints/pickle.h"
#include "model/checkpoints/stored.h"
#include "model/config.h"

namespace tplab {

struct NanoGptTensor {
  std::string storage;  // its key: the name of a zip entry
  StoredType type = StoredType::f32;
  int64_t begin = 0, end = 0;  // in the storage, in values
  std::vector<int64_t> shape;
};

struct NanoGptState {
  GptConfig config;
  std::map<std::string, NanoGptTensor> tensors;  // without "_orig_mod." and without mask buffers
  std::optional<int64_t> iteration;
};

// Throws Error(bad_file), which begins with `path`, unless the document is a dict with a `model`
// and `model_args` as nanoGPT's train.py saves, and every tensor of the model is contiguous.
NanoGptState read_nanogpt_state(const pickle::Document& document, const std::string& path);

}  // namespace tplab
