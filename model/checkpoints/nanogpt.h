// nanoGPT's files: ckpt.pt, written by torch.save, and a data set's meta.pkl.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/checkpoints/bytes.h"
#include "model/weights.h"

namespace tplab {

// A zip of a pickle and raw storages, read without Python. Optimizer state is left alone; values
// are read by position, whenever asked for. Throws Error(bad_file).
std::unique_ptr<WeightSource> open_nanogpt(const std::string& path);
std::unique_ptr<WeightSource> open_nanogpt(const std::shared_ptr<const ByteSource>& file);

// The characters of a character-level data set.
struct CharacterSet {
  std::vector<std::string> characters;  // by token id; each one code point in UTF-8, all different
};

// meta.pkl: a dict with vocab_size, itos and stoi, which must agree. Throws Error(bad_file).
CharacterSet read_nanogpt_meta(const std::string& path);
CharacterSet read_nanogpt_meta(const ByteSource& file);

}  // namespace tplab
