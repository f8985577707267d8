#include "model/checkpoints/json.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <vector>

#include "model/checkpoints/bytes.h"
#include "model/checkpoints/file_kind.h"
#include "sim/error.h"
#include "sim/utf8.h"

namespace tplab {

nlohmann::json parse_json_object(std::string_view text, const std::string& where) {
  using nlohmann::json;
  constexpr int kMaxDepth = 8;
  std::vector<std::set<std::string, std::less<>>> names;  // of each object that is open
  std::string latest;                                     // name

  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth >= kMaxDepth) {
        fail_file(where, fmt::format("JSON nested more than {} deep", kMaxDepth),
                  "no checkpoint needs this: check that the file is what it should be");
      }
      if (event == json::parse_event_t::object_start) names.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      names.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      latest = name;
      if (!names.back().insert(name).second) {
        fail_file(where, "JSON with two values named " + in_quotes(name), "remove one of them");
      }
    }
    return true;
  };

  if (text.empty()) fail_file(where, "not JSON, but empty", "download or copy it again");
  try {
    json object = json::parse(text.begin(), text.end(), watch);
    if (object.is_object()) return object;
  } catch (const json::parse_error& error) {
    if (const auto kind = kind_of_file(text))
      fail_file(where, fmt::format("not JSON, but {}", kind->what), std::string(kind->way));
    fail_file(where, fmt::format("not JSON: the error is at byte {}", error.byte),
              "the file is truncated or corrupt: download or copy it again");
  } catch (const json::exception&) {  // a number that no double can hold
    fail_file(where, fmt::format("{} is a number out of range", in_quotes(latest)),
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
