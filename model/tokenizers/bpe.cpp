// Finding the files, and merging a word's bytes into tokens in O(n log n).
#include "model/tokenizers/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <queue>

#include "model/checkpoints/bytes.h"
#include "sim/error.h"
#include "sim/utf8.h"

namespace tplab {

namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

// --- Merging one word

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

// --- Finding and reading the files

bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

BpePaths find_files(const std::filesystem::path& path) {
  static const BpePaths kNames[] = {{"vocab.json", "merges.txt"}, {"encoder.json", "vocab.bpe"}};
  const std::string fix =
      "give a folder with vocab.json and merges.txt, or with encoder.json and vocab.bpe";
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  if (!is_folder && !is_file(path)) fail_file(path.string(), "no such file or folder", fix);

  const std::filesystem::path folder = is_folder ? path : path.parent_path();
  std::string missing;
  for (const BpePaths& names : kNames) {
    const bool is_meant =
        is_folder || path.filename() == names.vocab || path.filename() == names.merges;
    BpePaths found{folder / names.vocab, folder / names.merges};
    if (!is_meant || (!is_file(found.vocab) && !is_file(found.merges))) continue;
    if (is_file(found.vocab) && is_file(found.merges)) return found;
    missing = (is_file(found.vocab) ? names.merges : names.vocab).string();
  }
  if (!missing.empty()) {
    fail_file(path.string(), fmt::format("{} is missing: a tokenizer is two files", missing), fix);
  }
  fail_file(path.string(), "holds no GPT-2 tokenizer", fix);
}

std::string read_file(const std::filesystem::path& path) {
  constexpr int64_t kMost = 256 << 20;  // 250 times GPT-2's
  return read_all(*open_file(path.string()), kMost);
}

}  // namespace

BpeTokenizer BpeTokenizer::load(const std::filesystem::path& path) {
  const BpePaths files = find_files(path);
  BpeTables tables = parse_bpe(read_file(files.vocab), files.vocab.string(),
                               read_file(files.merges), files.merges.string());
  return {std::move(tables), files.vocab.string(), files};
}

BpeTokenizer::BpeTokenizer(BpeTables tables, std::string origin, BpePaths paths)
    : Tokenizer(std::move(tables.tokens)),
      byte_ids_(tables.byte_ids),
      merges_(std::move(tables.merges)),
      origin_(std::move(origin)),
      paths_(std::move(paths)) {
  const auto found = std::find(tokens().begin(), tokens().end(), kEndOfText);
  if (found != tokens().end()) end_of_text_ = static_cast<int>(found - tokens().begin());
}

std::string BpeTokenizer::description() const {
  return fmt::format("GPT-2 byte-level BPE, {} tokens ({})", vocab_size(), printable_line(origin_));
}

std::vector<int> BpeTokenizer::encode_utf8(std::string_view text, SpecialTokens special) const {
  std::vector<int> ids;
  WordMerger merger(byte_ids_, merges_);
  const auto take = [&](std::string_view word) { merger.append(word, ids); };
  while (special == SpecialTokens::allow && end_of_text_) {
    const size_t found = text.find(kEndOfText);
    if (found == std::string_view::npos) break;
    pretokenizer_.for_each_word(text.substr(0, found), take);
    ids.push_back(*end_of_text_);
    text.remove_prefix(found + kEndOfText.size());
  }
  pretokenizer_.for_each_word(text, take);
  return ids;
}

}  // namespace tplab
