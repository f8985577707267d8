#include "viz/explore/code.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/error.h"

namespace tplab::explore {

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The function around a line, whose first and last lines are indented by no more than `indent`.
Excerpt function_around(const Line& called, size_t indent, const Sources& sources) {
  const std::vector<std::string> lines = lines_of(sources(called.file));
  const auto is_inside = [&](size_t i) { return lines[i].find_first_not_of(' ') > indent; };
  const auto at = static_cast<size_t>(called.number) - 1;
  size_t first = at, last = at;
  while (first < lines.size() && is_inside(first)) --first;
  while (last < lines.size() && (is_inside(last) || !lines[last].ends_with("}"))) ++last;
  if (first >= lines.size() || last >= lines.size())
    throw Error(ErrorKind::run,
                fmt::format("explore: a step was called at {}:{}, where no function is",
                            called.file, called.number),
                "the source is not the one that was compiled; build again");
  const auto begin = lines.begin();
  return {
      std::string(called.file),
      static_cast<int>(first) + 1,
      {begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(last) + 1}};
}

}  // namespace

Code code_of(const Step& step, const Sources& sources) {
  const Line& called = step.called.at(0);
  Code code{.function = function_around(called, 0, sources)};
  code.line = called.number - code.function.first_line;
  if (step.called.size() > 1) code.stream = function_around(step.called.back(), 2, sources);
  return code;
}

}  // namespace tplab::explore
