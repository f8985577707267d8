// A regular expression over UTF-8, run by PCRE2, whose tables say what a letter is.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tplab {

// Safe to use from many threads at once.
class Regex {
 public:
  // REQUIRES: the pattern is one of ours, not a file's: PCRE2 takes exponential time for some.
  explicit Regex(const std::string& pattern);

  // Where the first match that begins at byte `from` or later begins and ends.
  // REQUIRES: text is well-formed UTF-8, and from <= text.size().
  std::optional<std::pair<size_t, size_t>> find(std::string_view text, size_t from) const;

 private:
  std::shared_ptr<const void> code_;  // pcre2_code, kept out of this header
};

}  // namespace tplab
