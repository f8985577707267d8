#include "model/checkpoints/json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "model/checkpoints/bytes.h"
#include "model/checkpoints/file_kind.h"
#include "sim/error.h"

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

}  // namespace tplab
