// Opens a checkpoint of any format tplab reads.
#pragma once

#include <memory>
#include <string>

#include "model/weights.h"

namespace tplab {

// A nanoGPT ckpt.pt, tplab's own ckpt.safetensors, the folder of one, or a Hugging Face GPT-2
// folder: decided by what is at `path`, not by its name; in a folder with several, tplab's own.
// Throws Error(bad_file) that says what is accepted.
std::unique_ptr<WeightSource> open_checkpoint(const std::string& path);

}  // namespace tplab
