#include "model/files/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <vector>

#include "model/files/bytes.h"
#include "model/files/file_kind.h"
#include "sim/error.h"
#include "sim/text/utf8.h"

namespace tplab {

namespace {

using nlohmann::json;

// Throws for what parse_json_object() refuses of a text that is JSON. (A callback of json::parse()
// could too, but goes through all of an object for each of its members.)
class Watch : public json::json_sax_t {
 public:
  explicit Watch(const std::string& where) : where_(where) {}
  const std::string& latest_name() const { return latest_; }

  bool key(std::string& name) override {
    latest_ = name;
    if (!names_.back().insert(name).second)
      fail_file(where_, "JSON with two values named " + in_quotes(name), "remove one of them");
    return true;
  }
  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(json::binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

 private:
  bool open() {
    constexpr size_t kMaxDepth = 8;
    if (names_.size() >= kMaxDepth)
      fail_file(where_, fmt::format("JSON nested more than {} deep", kMaxDepth),
                "no checkpoint needs this: check that the file is what it should be");
    names_.emplace_back();
    return true;
  }
  bool close() {
    names_.pop_back();
    return true;
  }

  const std::string& where_;
  std::vector<std::set<std::string>> names_;  // of what is open; an array has none
  std::string latest_;
};

}  // namespace

nlohmann::json parse_json_object(std::string_view text, const std::string& where) {
  if (text.empty()) fail_file(where, "not JSON, but empty", "download or copy it again");
  Watch watch(where);
  try {
    (void)json::sax_parse(text.begin(), text.end(), &watch);  // of its errors parse() tells
    json object = json::parse(text.begin(), text.end());
    if (object.is_object()) return object;
  } catch (const json::parse_error& error) {
    if (const auto kind = kind_of_file(text))
      fail_file(where, fmt::format("not JSON, but {}", kind->what), std::string(kind->way));
    for (const std::string_view word : {"NaN", "Infinity"}) {
      if (text.substr(error.byte - std::min(error.byte, size_t{1})).starts_with(word))
        fail_file(where, fmt::format("not JSON: {} stands at byte {}", word, error.byte),
                  "Python writes that, and JSON has only numbers: put the one that was meant");
    }
    fail_file(where, fmt::format("not JSON: the error is at byte {}", error.byte),
              "the file is truncated or corrupt: download or copy it again");
  } catch (const json::exception&) {  // a number that no double can hold
    fail_file(where, fmt::format("{} is a number out of range", in_quotes(watch.latest_name())),
              "correct the file: no number that a model needs is that large");
  }
  fail_file(where, "not a JSON object", "the file must begin with { and end with }");
}

namespace {
constexpr std::string_view kBytes = "bytes:";
}

std::string to_json_string(std::string_view bytes) {
  const bool is_text = utf8::first_invalid(bytes) == std::string_view::npos;
  if (is_text && !bytes.starts_with(kBytes)) return std::string(bytes);
  std::string text(kBytes);
  for (const char c : bytes) {
    const bool is_plain = c > ' ' && c < '\x7f' && c != '%';
    text += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return text;
}

std::string from_json_string(std::string_view text) {
  if (!text.starts_with(kBytes)) return std::string(text);
  std::string bytes;
  for (size_t at = kBytes.size(); at < text.size(); ++at) {
    unsigned value = 0;
    const char* const digits = text.data() + at + 1;
    const bool is_escaped = text[at] == '%' && at + 2 < text.size() &&
                            std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2;
    bytes += is_escaped ? static_cast<char>(value) : text[at];
    if (is_escaped) at += 2;
  }
  return bytes;
}

}  // namespace tplab
