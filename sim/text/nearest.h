// The word that was meant: the nearest of those that there are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tplab {

// The one of `words` that is spelt most like `word`; empty if none is close enough to have been
// meant. Capitals, and dashes in front, do not count, nor whether words are joined by "-", "_" or
// ".". Where none is close, the one that `word` begins, if that is one alone.
std::string nearest(std::string_view word, const std::vector<std::string>& words);

}  // namespace tplab
