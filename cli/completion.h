// What the shells complete after `tplab`, and the man page: all made from the commands themselves.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/called.h"

namespace tplab::cli {

// What the last of these words may become, one a line; the first line is "files" if it may be the
// name of a file, else "words".
std::string completions(const CLI::App& tplab, const Words& words);

// What bash, zsh or fish reads: it asks `tplab help --complete`.   throws Error(usage)
std::string completion_script(const std::string& shell);

// tplab(1), in the man macros.
std::string man_page(const CLI::App& tplab, const std::string& version);

}  // namespace tplab::cli
