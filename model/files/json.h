// JSON from files that may be hostile: bounded in depth, no name twice in one object. And JSON as
// text, whatever bytes are in it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tplab {

// Throws Error(bad_file) that begins with `where` unless text is one JSON object, nested at most
// 8 deep, without duplicate names.
nlohmann::json parse_json_object(std::string_view text, const std::string& where);

// The only way from JSON to text here: dump() by itself throws for bytes that are not UTF-8, as a
// file's name may have. They become U+FFFD.
//   indent: spaces a level, -1 for one line.   ascii: \u00e9 for é
template <class Json>  // nlohmann's, ordered or not
std::string json_text(const Json& json, int indent = -1, bool ascii = false) {
  return json.dump(indent, ' ', ascii, Json::error_handler_t::replace);
}

// Any bytes as text that JSON can hold, and back. UTF-8 is itself; anything else, and what begins
// with "bytes:", is "bytes:caf%E9.txt", with every byte escaped that is not plain ASCII.
std::string to_json_string(std::string_view bytes);
std::string from_json_string(std::string_view text);

}  // namespace tplab
