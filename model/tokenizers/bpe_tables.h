// Byte-level BPE as tables: what all kinds of tokenizer files come to, once they are checked.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "model/tokenizers/added_tokens.h"
#include "model/tokenizers/pretokenizer.h"

namespace tplab {

// What two neighbouring tokens become, and how early: the lowest rank merges first.
struct BpeMerge {
  int rank = 0;
  int result = 0;
};

// How a text is cut before merging, and what is not in every file.
struct BpeOptions {
  std::vector<const WordRule*> words = {&gpt2_words()};
  bool add_prefix_space = false;  // a stretch of text that begins with no space gets one
  bool ignore_merges = false;     // a word that is a token is that token, whatever merges say
  std::string begin, end;         // bos_token, eos_token; empty where none is named
};

// A tokenizer as its files write it, before their parts are held against each other.
struct WrittenBpe {
  struct Merge {
    std::string left, right;
    size_t number;  // its line, or its place in the list
  };
  std::string vocab_name, merges_name;         // for messages, as is:
  std::string merge_word = "line";             // what a merge's number counts
  std::unordered_map<std::string, int> vocab;  // from a token's spelling to its id
  std::vector<Merge> merges;                   // earliest first
  std::map<std::string, AddedToken> added;     // by content
  std::map<std::string, std::string> special;  // of tokens that are, the file that says so
  BpeOptions options;
  std::vector<std::string> notes;  // what was read otherwise than one may think
};

struct BpeTables {
  static constexpr int kNoToken = -1;
  std::vector<std::string> tokens;                // each token's bytes, by id; empty: an unused id
  std::array<int, 256> byte_ids{};                // the token that is this one byte, or kNoToken
  std::unordered_map<uint64_t, BpeMerge> merges;  // by pair_key(left, right)
  std::vector<AddedToken> added;
  BpeOptions options;
  std::vector<std::string> notes;

  static uint64_t pair_key(int left, int right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
};

// Throws Error(bad_file) where an id is twice there or far too large, and where a merge takes or
// makes a token that is not there. A token that no merge makes is a special one; where many of them
// are two other tokens put together, merges were lost, and it throws.
BpeTables make_tables(WrittenBpe written);

// An id as a JSON number gives it. Throws Error(bad_file) for one that no vocabulary has.
int checked_id(uint64_t id, const std::string& token, const std::string& file);

}  // namespace tplab
