// One function for each part of the file; a part that is not known here is refused by its name, so
// that no text is encoded otherwise than its model was trained on.
#include "model/tokenizers/tokenizer_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/files/bytes.h"
#include "model/files/json.h"
#include "model/tokenizers/bpe_files.h"
#include "model/tokenizers/tokenizer_config.h"
#include "sim/error.h"

namespace tplab {
namespace {

using nlohmann::json;

constexpr const char* kJsonFix = "download the file again, or save the tokenizer again";

class Reader {
 public:
  Reader(const json& file, const std::string& name) : file_(file) {
    written_.vocab_name = written_.merges_name = name;
    written_.merge_word = "merge";
  }

  WrittenBpe read() {
    read_normalizer(part(file_, "normalizer"));
    written_.options.words.clear();
    read_pretokenizer(part(file_, "pre_tokenizer"));
    if (!is_byte_level_) refuse_unknown("the pre-tokenizer", part(file_, "pre_tokenizer"));
    read_model(part(file_, "model"));
    read_added(part(file_, "added_tokens"));
    note_template(part(file_, "post_processor"));
    return std::move(written_);
  }

 private:
  // null where there is none.
  static const json& part(const json& object, const char* key) {
    static const json none;
    if (!object.is_object()) return none;
    const auto found = object.find(key);
    return found == object.end() ? none : *found;
  }
  static std::string text_at(const json& object, const char* key) {
    const json& value = part(object, key);
    return value.is_string() ? value.get<std::string>() : "";
  }
  static bool is_set(const json& object, const char* key, bool otherwise = false) {
    const json& value = part(object, key);
    return value.is_boolean() ? value.get<bool>() : otherwise;
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail_file(written_.vocab_name, what, kJsonFix);
  }
  // what: "the normalizer"; its type is in the file.
  [[noreturn]] void refuse_unknown(const std::string& what, const json& found,
                                   const std::string& more = "") const {
    const std::string type = text_at(found, "type");
    fail_unavailable(
        fmt::format("{}: {} is {}{}, which tplab does not read", written_.vocab_name, what,
                    found.is_null() ? "none"
                    : type.empty()  ? "of no type"
                                    : in_quotes(type),
                    more),
        "tplab reads byte-level BPE, as GPT-2's; of other models give token ids, with --tokens or "
        "--data");
  }

  void read_normalizer(const json& normalizer) const {
    if (normalizer.is_null()) return;
    const json& list = part(normalizer, "normalizers");
    if (text_at(normalizer, "type") != "Sequence" || !list.is_array())
      refuse_unknown("the normalizer", normalizer);
    for (const json& one : list) read_normalizer(one);
  }

  void read_pretokenizer(const json& found) {
    const std::string type = text_at(found, "type");
    auto& words = written_.options.words;
    if (is_byte_level_) refuse_unknown("a pre-tokenizer after ByteLevel", found);
    if (type == "Sequence" && part(found, "pretokenizers").is_array()) {
      for (const json& one : part(found, "pretokenizers")) read_pretokenizer(one);
    } else if (type == "ByteLevel") {
      is_byte_level_ = true;
      if (is_set(found, "add_prefix_space", true)) {
        if (!words.empty()) refuse_unknown("the pre-tokenizer", found, " with add_prefix_space");
        written_.options.add_prefix_space = true;
      }
      if (is_set(found, "use_regex", true)) words.push_back(&gpt2_words());
    } else if (type == "Digits") {
      words.push_back(&digit_words(is_set(found, "individual_digits")));
    } else if (type == "Split" && !is_set(found, "invert") &&
               text_at(found, "behavior") == "Isolated") {
      const std::string pattern = text_at(part(found, "pattern"), "Regex");
      const WordRule* rule = find_word_rule(pattern);
      if (!rule) refuse_unknown("a pre-tokenizer", found, " by " + in_quotes(pattern));
      words.push_back(rule);
    } else {
      refuse_unknown("the pre-tokenizer", found);
    }
  }

  void read_model(const json& model) {
    const std::string type = text_at(model, "type");  // old files have none
    if (!type.empty() && type != "BPE") refuse_unknown("the model", model);
    const json &vocab = part(model, "vocab"), &merges = part(model, "merges");
    if (!vocab.is_object() || !merges.is_array())
      refuse("its model has no vocab and merges as BPE has");
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!text_at(model, affix).empty())
        refuse_unknown("the model", model, fmt::format(" with {}", affix));
    read_vocab(vocab, written_);
    size_t number = 0;
    for (const json& merge : merges) add_merge(merge, ++number);
    written_.options.ignore_merges = is_set(model, "ignore_merges");
    const json& dropout = part(model, "dropout");
    if (dropout.is_number() && dropout.get<double>() != 0)
      note(fmt::format("leaves out merges at random (dropout {}): tplab does not",
                       dropout.get<double>()));
  }

  void add_merge(const json& merge, size_t number) {
    if (merge.is_string()) return read_merge(merge.get<std::string>(), number, written_);
    if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
      refuse(fmt::format("merge {}: not two tokens", number));
    written_.merges.push_back({merge[0].get<std::string>(), merge[1].get<std::string>(), number});
  }

  void read_added(const json& list) {
    if (list.is_null()) return;
    if (!list.is_array()) refuse("added_tokens is no list");
    for (const json& entry : list)
      add_token(read_added_token(entry, written_.vocab_name), written_);
  }

  // "single" is what transformers makes of one text: SpecialToken's around the Sequence.
  void note_template(const json& post) {
    for (const json& one : part(post, "processors")) note_template(one);
    std::string pieces;
    for (const json& piece : part(post, "single")) {
      const std::string token = text_at(part(piece, "SpecialToken"), "id");
      if (!token.empty()) pieces += (pieces.empty() ? "" : ", ") + in_quotes(token);
    }
    const std::string type = text_at(post, "type");
    if (type == "RobertaProcessing" || type == "BertProcessing") pieces = "two special tokens";
    if (!pieces.empty())
      note(fmt::format("its template puts {} around a text: tplab does not, write it into the text",
                       pieces));
  }

  void note(const std::string& what) {
    written_.notes.push_back(fmt::format("{}: {}", written_.vocab_name, what));
  }

  const json& file_;
  WrittenBpe written_;
  bool is_byte_level_ = false;
};

}  // namespace

WrittenBpe read_tokenizer_json(std::string_view text, const std::string& name) {
  const json file = parse_json_object(text, name);
  return Reader(file, name).read();
}

}  // namespace tplab
