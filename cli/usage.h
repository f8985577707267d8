// What a command line that cannot be understood is answered with.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/called.h"

namespace tplab::cli {

// Throws Error(usage) if options stand before the command, with the line as it should be.
void check_order(const CLI::App& tplab, const Words& words);

// Advice on an option that the command does not have: "it is one of tplab train; ",
// "did you mean --tp? ", or nothing.
std::string which_option(const CLI::App& command, const std::string& option);

// CLI11's refusal of the words, in our words: throws Error(usage).
[[noreturn]] void refuse(const CLI::App& tplab, const Words& words, const CLI::ParseError& error);

}  // namespace tplab::cli
