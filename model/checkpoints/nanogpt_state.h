// What the pickle of a nanoGPT checkpoint says: the config, and which storage holds each tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/files/pickle.h"
#include "model/files/state_dict.h"

namespace tplab {

struct NanoGptState {
  GptConfig config;
  StateDict model;  // under the names that the file has
  std::optional<int64_t> iteration;
  std::vector<std::string> notes;  // how it was understood
};

// Throws Error(bad_file), which begins with `path`, unless the document is a dict with a `model`
// and `model_args` as nanoGPT's train.py saves, or with a `config` that has the sizes, as
// build-nanogpt's does. Other entries may be objects of any class: they are not looked at.
NanoGptState read_nanogpt_state(const pickle::Document& document, const std::string& path);

}  // namespace tplab
