// JSON from files that may be hostile: bounded in depth, no name twice in one object.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tplab {

// Throws Error(bad_file) that begins with `where` unless text is one JSON object, nested at most
// 8 deep, without duplicate names.
nlohmann::json parse_json_object(std::string_view text, const std::string& where);

}  // namespace tplab
