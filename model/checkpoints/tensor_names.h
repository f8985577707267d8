// From the names that a file gives its tensors to nanoGPT's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/checkpoints/file_weights.h"

namespace tplab {

// A model's tensors under nanoGPT's names, and what is no part of the model.
struct KnownTensors {
  FileTensors tensors;
  std::vector<std::string>
      unread;  // names in the file of what stands beside the transformer: heads
};

// Programs wrap a model and so lengthen its names: "module.", "_orig_mod." and their like are taken
// off wherever they stand, and whatever stands before the first part that GPT-2 has
// ("transformer.", "h.0.", "wte.", "lm_head."): "model.", "gpt." Without "transformer." means the
// same as with it. Masks, which are constants, are passed over. What is left and not known is in
// `unread` where it stands beside the transformer, and among the tensors, to be refused, where it
// stands within.
//
// Throws Error(bad_file) with both names where two tensors would get one.
KnownTensors name_tensors(std::vector<FileTensor> tensors);

// Whether the name is within the model, so that what it names is needed.
bool is_model_name(std::string_view name);

// nanoGPT's names of the two tables of tokens.
std::string embedding_name();  // "transformer.wte.weight"
std::string head_name();       // "lm_head.weight"

// Where a tied head was saved under the head's name alone, it is the embedding.
void take_head_for_embedding(FileTensors& tensors);

// A line for WeightSource::notes; none where everything was read.
std::vector<std::string> unread_note(const std::vector<std::string>& unread);

}  // namespace tplab
