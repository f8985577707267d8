// GPT-2's two tokenizer files, checked and turned into tables.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tplab {

// What two neighbouring tokens become, and how early: the lowest rank merges first.
struct BpeMerge {
  int rank = 0;
  int result = 0;
};

struct BpeTables {
  std::vector<std::string> tokens;                // each token's bytes, by id
  std::array<int, 256> byte_ids{};                // the token that is this one byte
  std::unordered_map<uint64_t, BpeMerge> merges;  // by pair_key(left, right)

  static uint64_t pair_key(int left, int right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
};

// vocab: {"!": 0, "\u0120t": 256, ...}, every id from 0 to n-1 once, all 256 bytes among the
// tokens. merges: one pair a line, "\u0120 t", earliest first, after an optional line "#version:
// 0.2". Both write a byte as a printable character: itself, or U+0100 and up for the 68 that are
// not. A token that no merge makes must be a special one, <like this> or [like this], or one of the
// files is truncated or belongs to another vocabulary. The names are for messages. Throws
// Error(bad_file).
BpeTables parse_bpe(std::string_view vocab, const std::string& vocab_name, std::string_view merges,
                    const std::string& merges_name);

}  // namespace tplab
