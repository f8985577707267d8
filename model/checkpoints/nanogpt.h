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

// What a data set says of its tokens.
struct NanogptMeta {
  int64_t vocab_size = 0;               // of the model; may be more than the characters
  std::vector<std::string> characters;  // by token id; each one code point in UTF-8, all different;
                                        // empty where the tokens are something else
  std::string note;                     // why there are no characters; empty where there are
};

// meta.pkl: a dict with vocab_size, itos and stoi, which must agree where they are there; nanoGPT's
// train.py asks for the first alone. Throws Error(bad_file).
NanogptMeta read_nanogpt_meta(const std::string& path);
NanogptMeta read_nanogpt_meta(const ByteSource& file);

}  // namespace tplab
