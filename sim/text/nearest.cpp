#include "sim/text/nearest.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace tplab {

namespace {

// How many letters to change, put in, leave out, or swap with the next.
size_t spelling_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last, row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, std::exchange(row, std::vector<size_t>(b.size() + 1, i)));
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

std::string letters(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  std::string low(word);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) {
    return c == '_' || c == '.' ? '-' : static_cast<char>(std::tolower(c));
  });
  return low;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& words) {
  constexpr size_t kLongest = 100;  // no word is longer, and the work grows with the square
  const std::string asked = letters(word);
  if (asked.empty() || asked.size() > kLongest) return "";
  std::string found;
  size_t least = std::max<size_t>(1, asked.size() / 3) + 1;
  for (const std::string& known : words) {
    const std::string other = letters(known);
    if (std::max(other.size(), asked.size()) >= least + std::min(other.size(), asked.size()))
      continue;  // that many letters too many
    const size_t distance = spelling_distance(asked, other);
    if (distance < least) {
      found = known;
      least = distance;
    }
  }
  if (!found.empty()) return found;
  for (const std::string& known : words)  // what it begins, if that is one alone
    if (asked.size() >= 3 && letters(known).starts_with(asked)) {
      if (!found.empty()) return "";
      found = known;
    }
  return found;
}

}  // namespace tplab
