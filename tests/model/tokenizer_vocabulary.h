// Small tokenizer files made on the spot: the 256 bytes, the products of some merges, one special.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "model/tokenizers/bpe.h"
#include "model/tokenizers/bpe_files.h"
#include "sim/error.h"

namespace tplab::testing {

// A byte in GPT-2's byte alphabet: itself where it prints, U+0100 and up where it does not.
inline std::string spelled(int byte) {
  const auto prints = [](int b) {
    return (b > 32 && b < 127) || (b > 160 && b != 173);  // no NO-BREAK SPACE, no SOFT HYPHEN
  };
  int code = byte;
  if (!prints(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += prints(b) ? 0 : 1;
  }
  if (code < 128) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

struct BpeFiles {
  std::string vocab, merges;
};

// Ids: 0 to 255 are the bytes, then one token a merge, then <|endoftext|>.
inline BpeFiles bpe_files(const std::vector<std::pair<std::string, std::string>>& merges) {
  BpeFiles files{.vocab = "{", .merges = "#version: 0.2\n"};
  int id = 0;
  const auto add = [&](const std::string& token) {
    const char* escape = token == "\"" || token == "\\" ? "\\" : "";
    files.vocab += fmt::format("\"{}{}\": {}, ", escape, token, id++);
  };
  for (int byte = 0; byte < 256; ++byte) add(spelled(byte));
  for (const auto& [left, right] : merges) {
    add(left + right);
    files.merges += left + " " + right + "\n";
  }
  files.vocab += fmt::format("\"<|endoftext|>\": {}}}", id);
  return files;
}

inline BpeTokenizer bpe(const BpeFiles& files) {
  return {parse_bpe(files.vocab, "vocab.json", files.merges, "merges.txt"), "in memory"};
}

// What a hostile file's error says; "no error" where it was accepted.
inline std::string refusal(const BpeFiles& files) {
  try {
    (void)parse_bpe(files.vocab, "vocab.json", files.merges, "merges.txt");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) return "not a bad_file: " + std::string(error.what());
    return error.what();
  }
  return "no error";
}

}  // namespace tplab::testing
