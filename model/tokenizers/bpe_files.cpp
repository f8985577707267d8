// Nothing in either file is trusted: each entry is checked against the ones read before it.
#include "model/tokenizers/bpe_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "sim/error.h"
#include "sim/utf8.h"

namespace tplab {

namespace {

using TokenIds = std::unordered_map<std::string, int>;  // from a token's bytes to its id

const char* const kFix =
    "download the file again, or give the vocab.json and merges.txt of one model";

// --- The byte alphabet: how both files write the bytes of a token.

bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

// alphabet[code point] is the byte it stands for, or -1.
std::array<int, 256 + 68> byte_alphabet() {
  std::array<int, 256 + 68> bytes;
  bytes.fill(-1);
  size_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    bytes[stands_for_itself(byte) ? static_cast<size_t>(byte) : next++] = byte;
  }
  return bytes;
}

// The bytes that `spelling` stands for; nullopt where it is not written in the byte alphabet.
std::optional<std::string> bytes_of(std::string_view spelling) {
  static const auto kAlphabet = byte_alphabet();
  std::string bytes;
  for (size_t at = 0; at < spelling.size();) {
    const size_t length = utf8::character_length(spelling, at);
    if (length == 0) return std::nullopt;
    const char32_t code = utf8::code_point(spelling.substr(at, length));
    if (code >= kAlphabet.size() || kAlphabet[code] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet[code]);
    at += length;
  }
  return bytes;
}

// --- vocab.json, read as events, so that a deep or huge document costs nothing before it is
// refused.

// A token for a message: cut short, as a hostile file's may be of any length.
std::string shown(std::string_view spelling) {
  constexpr size_t kLongest = 40;
  if (spelling.size() <= kLongest) return fmt::format("\"{}\"", spelling);
  size_t cut = kLongest;
  while (cut > 0 && (static_cast<unsigned char>(spelling[cut]) & 0xC0) == 0x80) --cut;
  return fmt::format("\"{}...\" ({} bytes)", spelling.substr(0, cut), spelling.size());
}

class VocabReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit VocabReader(const std::string& name) : name_(name) {}

  TokenIds take() { return std::move(ids_); }

  bool start_object(size_t) override {
    if (is_open_) refuse_value("an object");
    is_open_ = true;
    return true;
  }
  bool key(std::string& spelling) override {
    const std::optional<std::string> bytes = bytes_of(spelling);
    if (!bytes || bytes->empty()) {
      refuse(fmt::format("the token {} is not written in GPT-2's byte alphabet", shown(spelling)));
    }
    const auto [place, is_new] = ids_.emplace(*bytes, -1);
    if (!is_new) refuse(fmt::format("the token {} appears twice", shown(spelling)));
    spelling_ = spelling;
    id_ = &place->second;
    return true;
  }
  bool number_unsigned(uint64_t id) override {
    if (!is_open_) refuse_value("a number");
    if (id > kLargestId) refuse_value(fmt::format("the id {}", id));
    *id_ = static_cast<int>(id);
    return true;
  }
  bool number_integer(int64_t id) override { return refuse_value(fmt::format("the id {}", id)); }
  bool number_float(double, const std::string& text) override { return refuse_value(shown(text)); }
  bool string(std::string& text) override { return refuse_value(shown(text)); }
  bool binary(binary_t&) override { return refuse_value("binary data"); }
  bool boolean(bool) override { return refuse_value("a boolean"); }
  bool null() override { return refuse_value("null"); }
  bool start_array(size_t) override { return refuse_value("an array"); }
  bool end_array() override { return true; }
  bool end_object() override { return true; }
  bool parse_error(size_t at, const std::string&, const nlohmann::json::exception&) override {
    refuse(fmt::format("not JSON: byte {} cannot be read (truncated, or not UTF-8?)", at));
  }

 private:
  static constexpr uint64_t kLargestId = (1u << 24) - 1;  // 300 times GPT-2's vocabulary

  [[noreturn]] void refuse(const std::string& what) { fail_file(name_, what, kFix); }
  [[noreturn]] bool refuse_value(const std::string& what) {
    if (id_ == nullptr) refuse(fmt::format("{} where an object of tokens should be", what));
    refuse(fmt::format("the token {} has {} where an id should be", shown(spelling_), what));
  }

  const std::string& name_;
  TokenIds ids_;
  bool is_open_ = false;
  std::string spelling_;  // the last key
  int* id_ = nullptr;     // where its id goes; nodes of an unordered_map do not move
};

TokenIds read_vocab(std::string_view json, const std::string& name) {
  VocabReader reader(name);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take();
}

// The tokens by id: as many ids as tokens, none above the last, none twice.
std::vector<std::string> order_by_id(const TokenIds& ids, const std::string& name) {
  std::vector<std::string> tokens(ids.size());
  for (const auto& [bytes, id] : ids) {
    if (static_cast<size_t>(id) >= tokens.size()) {
      fail_file(name,
                fmt::format("id {} is too large for a file of {} tokens: ids must run from 0 to {}",
                            id, tokens.size(), static_cast<int64_t>(tokens.size()) - 1),
                kFix);
    }
    std::string& place = tokens[static_cast<size_t>(id)];
    if (!place.empty()) fail_file(name, fmt::format("two tokens have the id {}", id), kFix);
    place = bytes;
  }
  return tokens;
}

std::array<int, 256> find_bytes(const TokenIds& ids, const std::string& name) {
  std::array<int, 256> byte_ids{};
  for (size_t byte = 0; byte < byte_ids.size(); ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    if (found == ids.end()) {
      fail_file(name,
                fmt::format("no token for the single byte 0x{:02X}: not byte-level BPE", byte),
                kFix);
    }
    byte_ids[byte] = found->second;
  }
  return byte_ids;
}

// --- merges.txt

struct MergesReader {
  const TokenIds& ids;
  const std::string& name;
  size_t line_number = 0;

  [[noreturn]] void refuse(const std::string& what) const {
    fail_file(name, fmt::format("line {}: {}", line_number, what), kFix);
  }

  int id_of(std::string_view spelling) const {
    const std::optional<std::string> bytes = bytes_of(spelling);
    if (!bytes)
      refuse(fmt::format("{} is not written in GPT-2's byte alphabet", printable(spelling)));
    const auto found = ids.find(*bytes);
    if (found == ids.end()) refuse(fmt::format("{} is not in the vocabulary", shown(spelling)));
    return found->second;
  }

  std::pair<int, int> pair_in(std::string_view line) const {
    const size_t space = line.find(' ');
    const bool is_pair = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                         line.find(' ', space + 1) == std::string_view::npos;
    if (!is_pair) refuse("not two tokens with one space between them");
    return {id_of(line.substr(0, space)), id_of(line.substr(space + 1))};
  }

 private:
  static std::string printable(std::string_view spelling) {
    return utf8::first_invalid(spelling) == std::string_view::npos ? shown(spelling)
                                                                   : "a token that is not UTF-8";
  }
};

void read_merges(std::string_view text, const std::string& name, const TokenIds& ids,
                 BpeTables& tables) {
  MergesReader reader{.ids = ids, .name = name};
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    ++reader.line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (reader.line_number == 1 && line.starts_with("#version"))) continue;

    const auto [left, right] = reader.pair_in(line);
    const auto result = ids.find(tables.tokens[static_cast<size_t>(left)] +
                                 tables.tokens[static_cast<size_t>(right)]);
    if (result == ids.end()) {
      reader.refuse(fmt::format("the vocabulary has no token for the pair {}", shown(line)));
    }
    const BpeMerge merge{.rank = static_cast<int>(tables.merges.size()), .result = result->second};
    if (!tables.merges.emplace(BpeTables::pair_key(left, right), merge).second) {
      reader.refuse(fmt::format("the pair {} appears twice", shown(line)));
    }
  }
}

bool looks_special(std::string_view token) {
  return (token.starts_with('<') && token.ends_with('>')) ||
         (token.starts_with('[') && token.ends_with(']'));
}

void check_every_token_is_made(const BpeTables& tables, const std::string& merges_name) {
  std::vector<bool> is_made(tables.tokens.size());
  for (const int id : tables.byte_ids) is_made[static_cast<size_t>(id)] = true;
  for (const auto& [pair, merge] : tables.merges) is_made[static_cast<size_t>(merge.result)] = true;
  for (size_t id = 0; id < is_made.size(); ++id) {
    if (is_made[id] || looks_special(tables.tokens[id])) continue;
    fail_file(merges_name,
              fmt::format("no merge makes token {} of the vocabulary: the file is truncated, or "
                          "belongs to another vocabulary",
                          id),
              kFix);
  }
}

}  // namespace

BpeTables parse_bpe(std::string_view vocab, const std::string& vocab_name, std::string_view merges,
                    const std::string& merges_name) {
  const TokenIds ids = read_vocab(vocab, vocab_name);
  BpeTables tables;
  tables.tokens = order_by_id(ids, vocab_name);
  tables.byte_ids = find_bytes(ids, vocab_name);
  read_merges(merges, merges_name, ids, tables);
  check_every_token_is_made(tables, merges_name);
  return tables;
}

}  // namespace tplab
