// --config FILE: options of a command written down, and a run's own --json taken up again.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/called.h"
#include "sim/error.h"

namespace tplab::cli {

// Gives every command that does something the option --config.
void add_config(CLI::App& tplab);

// The words with what --config's file says put behind the command's name, except what the words say
// themselves. The file holds lines `option = value` (TOML, as CLI11 reads it), or is the JSON that
// the command wrote. Throws Error(file) for what is no option of the command, with its line.
Words with_config(const CLI::App& tplab, const Words& words);

// A refusal of a value, "--tp: ...", that the words have from the file and not from `given`, as an
// Error(file) that names the file. Nothing where it is any other error.
std::optional<Error> of_config(const Error& error, const Words& given, const Words& words);

// {"tp": [1, 2], "sp": false, "batch": null, ...}: every option of a command as it was given, else
// its default, else null. Not those that say where the result goes.
nlohmann::ordered_json recorded_options(const CLI::App& command);

// The document with "schema": "tplab/verify/1", "version", "command" and "options" in front.
nlohmann::ordered_json with_header(const CLI::App& command, const nlohmann::ordered_json& doc);

}  // namespace tplab::cli
