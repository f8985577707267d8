// A GptConfig as JSON, for files of tplab's own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "model/config.h"

namespace tplab {

// {"n_layer": 12, ..., "bias": true, "tied_head": true, "gelu": "erf", "layer_norm_eps": 1e-05}
nlohmann::ordered_json config_to_json(const GptConfig& config);

// The config that config_to_json wrote, checked. Throws Error(bad_file), which begins with `where`,
// unless every choice is there and no other: one that is not known here could change the network.
GptConfig config_from_json(std::string_view text, const std::string& where);

}  // namespace tplab
