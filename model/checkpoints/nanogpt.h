// nanoGPT's ckpt.pt, written by torch.save.
#pragma once

#include <memory>
#include <string>

#include "model/files/bytes.h"
#include "model/weights.h"

namespace tplab {

// A zip of a pickle and raw storages, read without Python. Optimizer state is left alone; values
// are read by position, whenever asked for. Throws Error(bad_file).
std::unique_ptr<WeightSource> open_nanogpt(const std::string& path);
std::unique_ptr<WeightSource> open_nanogpt(const std::shared_ptr<const ByteSource>& file);

}  // namespace tplab
