// Merging a word's bytes into tokens in O(n log n).
#include "model/tokenizers/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {

namespace {

// Two neighbours that may merge: `left` is where the first one's bytes begin.
struct Candidate {
  int rank;
  size_t left;
  auto operator<=>(const Candidate&) const = default;
};

// The tokens of one word, linked in order, and a heap of the pairs that can merge. Kept from word
// to word for its memory.
class WordMerger {
 public:
  WordMerger(const std::array<int, 256>& byte_ids,
             const std::unordered_map<uint64_t, BpeMerge>& merges)
      : byte_ids_(byte_ids), merges_(merges) {}

  void append(std::string_view word, std::vector<int>& ids) {
    split_into_bytes(word);
    while (!candidates_.empty()) merge_all_of_rank(candidates_.top().rank);
    for (size_t at = 0; at < nodes_.size(); at = nodes_[at].next) ids.push_back(nodes_[at].id);
  }

 private:
  static constexpr int kAbsorbed = -1;
  static constexpr size_t kNone = static_cast<size_t>(-1);

  struct Node {
    int id;  // kAbsorbed once the neighbour on the left has taken it
    size_t previous, next;
  };

  void split_into_bytes(std::string_view word) {
    nodes_.clear();
    for (size_t at = 0; at < word.size(); ++at) {
      nodes_.push_back({.id = byte_ids_[static_cast<unsigned char>(word[at])],
                        .previous = at == 0 ? kNone : at - 1,
                        .next = at + 1});
    }
    for (size_t at = 0; at < nodes_.size(); ++at) consider(at);
  }

  // GPT-2 merges every occurrence of the best pair, left to right, before it looks for the next
  // best; so the pairs that these merges make have to wait, even where their rank is lower.
  void merge_all_of_rank(int rank) {
    merged_.clear();
    while (!candidates_.empty() && candidates_.top().rank == rank) {
      const size_t left = candidates_.top().left;
      candidates_.pop();
      const BpeMerge* merge = merge_at(left);
      if (merge == nullptr || merge->rank != rank) continue;  // a neighbour has merged meanwhile
      absorb_next(left, merge->result);
      merged_.push_back(left);
    }
    for (const size_t left : merged_) {
      if (nodes_[left].previous != kNone) consider(nodes_[left].previous);
      consider(left);
    }
  }

  void absorb_next(size_t left, int result) {
    const size_t right = nodes_[left].next;
    const size_t after = nodes_[right].next;
    nodes_[left].id = result;
    nodes_[left].next = after;
    nodes_[right].id = kAbsorbed;
    if (after < nodes_.size()) nodes_[after].previous = left;
  }

  void consider(size_t left) {
    if (const BpeMerge* merge = merge_at(left)) candidates_.push({merge->rank, left});
  }

  // The merge of the token at `left` with the one after it, or null.
  const BpeMerge* merge_at(size_t left) const {
    const Node& node = nodes_[left];
    if (node.id == kAbsorbed || node.next >= nodes_.size()) return nullptr;
    const auto found = merges_.find(BpeTables::pair_key(node.id, nodes_[node.next].id));
    return found == merges_.end() ? nullptr : &found->second;
  }

  const std::array<int, 256>& byte_ids_;
  const std::unordered_map<uint64_t, BpeMerge>& merges_;
  std::vector<Node> nodes_;  // by the word's byte
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
  std::vector<size_t> merged_;
};

}  // namespace

BpeTokenizer::BpeTokenizer(BpeTables tables, std::string origin,
                           std::vector<std::filesystem::path> files)
    : Tokenizer(std::move(tables.tokens)),
      byte_ids_(tables.byte_ids),
      merges_(std::move(tables.merges)),
      added_(std::move(tables.added)),
      options_(std::move(tables.options)),
      pretokenizer_(options_.words),
      origin_(std::move(origin)),
      files_(std::move(files)),
      notes_(std::move(tables.notes)) {
  for (size_t id = 0; options_.ignore_merges && id < tokens().size(); ++id)
    if (!tokens()[id].empty()) whole_words_.emplace(tokens()[id], static_cast<int>(id));
  const auto known = id_of("<|endoftext|>");
  end_of_text_ = options_.end.empty() ? known : id_of(options_.end);
  start_of_text_ = options_.begin.empty() ? end_of_text_ : id_of(options_.begin);
}

std::optional<int> BpeTokenizer::id_of(const std::string& content) const {
  for (const AddedToken& token : added_.list())
    if (token.content == content) return token.id;
  return std::nullopt;
}

std::string BpeTokenizer::description() const {
  const bool is_gpt2 = options_.words == BpeOptions().words;
  return fmt::format("{}byte-level BPE, {} tokens ({})", is_gpt2 ? "GPT-2 " : "", vocab_size(),
                     printable_line(origin_));
}

// Refuses a byte that a vocabulary without the whole byte alphabet has no token for.
void BpeTokenizer::check_bytes(std::string_view stretch, std::string_view text) const {
  const auto is_missing = [&](char c) {
    return byte_ids_[static_cast<unsigned char>(c)] == BpeTables::kNoToken;
  };
  const auto bad = std::find_if(stretch.begin(), stretch.end(), is_missing);
  if (bad == stretch.end()) return;
  auto first = bad;  // of its character
  while (first != stretch.begin() && (static_cast<unsigned char>(*first) & 0xC0) == 0x80) --first;
  const auto at = static_cast<size_t>(&*first - text.data());
  const auto before = static_cast<size_t>(
      std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  fail(fmt::format("{}, character {} of the text (byte {}), needs the byte 0x{:02X}, which the "
                   "vocabulary has no token for",
                   utf8::quoted(text.substr(at, utf8::character_length(text, at))), before + 1, at,
                   static_cast<unsigned char>(*bad)),
       "leave such characters out, or use another tokenizer; this is " + description());
}

std::vector<int> BpeTokenizer::encode_utf8(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids;
  WordMerger merger(byte_ids_, merges_);
  const auto take_word = [&](std::string_view word) {
    const auto whole = whole_words_.find(word);
    if (whole != whole_words_.end())
      ids.push_back(whole->second);
    else
      merger.append(word, ids);
  };
  const auto take_text = [&](std::string_view stretch) {
    check_bytes(stretch, text);
    if (options_.add_prefix_space && !stretch.starts_with(' '))
      return pretokenizer_.for_each_word(std::string(" ").append(stretch), take_word);
    pretokenizer_.for_each_word(stretch, take_word);
  };
  if (special == SpecialTokens::allow) {
    added_.for_each(text, take_text, [&](int id) { ids.push_back(id); });
  } else if (!text.empty()) {
    take_text(text);
  }
  return ids;
}

}  // namespace tplab
