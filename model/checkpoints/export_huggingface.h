// Writes any model that tplab reads as a Hugging Face GPT-2 folder, which other programs load.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/tokenizers/tokenizer.h"
#include "model/weights.h"

namespace tplab {

struct ExportReport {
  std::vector<std::string> files;  // names in the folder
  int64_t bytes = 0;               // of model.safetensors
  std::vector<std::string> notes;  // what another program would see differently, for people
};

// config.json and model.safetensors (f32) of transformers' GPT2LMHeadModel; with GPT-2's tokenizer
// vocab.json, merges.txt and what else of it lies beside them, with one of characters a vocab.json
// that load_tokenizer (model/tokenizers/load.h) reads. A model without biases gets zeros, because
// the format cannot say that there are none.
//
// Made in FOLDER.part and renamed, so that an export is whole or not there. An older export of
// tplab's is replaced, any other folder that is not empty is refused. Peak memory: 32 MiB, whatever
// the model. Throws Error(usage), or what reading the source throws.
ExportReport export_huggingface(const WeightSource& source, const Tokenizer* tokenizer,
                                const std::string& folder);

}  // namespace tplab
