// What was meant by a word that is none, said to the user.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sim/text/nearest.h"

namespace tplab::cli {

// "did you mean --preset? ", or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& words);

// Makes the option take one of these words alone; its help and the shells' completion show them.
//   throws Error(usage) that names the nearest
CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& words);

// The words of an option whose type is "direct|ring|tree", as one_of() writes it; or none.
std::vector<std::string> words_of(const CLI::Option& option);

// What options of several commands take.
std::vector<std::string> preset_words();
std::vector<std::string> dtype_words();
std::vector<std::string> algorithm_words();
std::vector<std::string> op_words();

}  // namespace tplab::cli
