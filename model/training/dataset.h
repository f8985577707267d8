// What a model trains on: a text or token files, split into a part to learn and a part to be tested
// on, and batches drawn from them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizers/tokenizer.h"
#include "model/tokens.h"
#include "model/training/token_list.h"
#include "model/weights.h"  // Range

namespace tplab {

enum class Part { train, val };
std::string_view name(Part part);

struct Dataset {
  TokenList train, val;
  int64_t vocab_size = 0;                      // every id is below it
  std::shared_ptr<const Tokenizer> tokenizer;  // null for token files without meta.pkl
  std::string description;         // "input.txt: 1003854 + 111540 tokens, 65 characters"
  std::vector<std::string> notes;  // what was read otherwise than one may think, a line each

  const TokenList& part(Part which) const { return which == Part::train ? train : val; }
};

struct DatasetOptions {
  int64_t block_size = 1;  // T: a part with fewer than T + 1 tokens is refused
  // Null: a text's own characters, sorted; for token files, the meta.pkl beside them. A model that
  // goes on learning keeps its own tokenizer, and a character that it does not know is refused.
  std::shared_ptr<const Tokenizer> tokenizer = nullptr;
  // Of token files without a tokenizer: the model's, or GPT-2's, 50257, as nanoGPT assumes.
  int64_t vocab_size = 50257;
  // Whether <|endoftext|> in a text is that token, where the tokenizer has it, or its characters.
  SpecialTokens special = SpecialTokens::allow;
  IdWidth id_width = IdWidth::automatic;  // of token files
};

// A text as nanoGPT prepares one: the first 90 % of its characters to learn, the rest to be tested
// on; each part tokenized by itself, and no special token cut in two. A mark of UTF-8 at the
// beginning is left out.   source: nanoGPT data/shakespeare_char/prepare.py
// `origin` is for messages. Throws Error(bad_file): empty, not UTF-8, one distinct character, a
// character outside the tokenizer's vocabulary, or shorter than a block.
Dataset dataset_of_text(std::string_view text, const std::string& origin,
                        const DatasetOptions& options);

// A text file, or a folder with nanoGPT's train.bin and val.bin. Throws Error(bad_file).
Dataset open_dataset(const std::string& path, const DatasetOptions& options);

// x: [B, T]   y: [B, T], the token after each of x's.
struct Batch {
  Tokens x, y;
};

// Sequences [sequences.begin, sequences.end) of the batch of one step, T tokens each, from random
// starts. Every start is a function of (seed, part, step, sequence) alone, so that any mesh draws
// the same, a data-parallel rank draws its sequences only, and a resumed run goes on as if it had
// not stopped.   source: nanoGPT train.py get_batch, with starts from sim/random.h
Batch sample(const Dataset& data, Part part, int64_t step, Range sequences, int64_t T,
             uint64_t seed);

}  // namespace tplab
