#include "viz/explore/anchors.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/error.h"

namespace tplab::explore {

namespace {

constexpr std::string_view kStreamFile = "model/layers/stream.h";

[[noreturn]] void missing(std::string_view what, std::string_view file, size_t times) {
  throw Error(ErrorKind::run,
              fmt::format("explore: {} is in {} {} times, not once", what, file, times),
              "the explorer's table no longer fits the model: mend viz/explore/anchor_table.cpp");
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// Which line holds `text`, if one does.
size_t only_line_with(const std::vector<std::string>& lines, std::string_view text,
                      std::string_view file) {
  const auto has = [&](const std::string& line) { return line.find(text) != std::string::npos; };
  const auto count = static_cast<size_t>(std::count_if(lines.begin(), lines.end(), has));
  if (count != 1) missing(fmt::format("'{}'", text), file, count);
  return static_cast<size_t>(std::find_if(lines.begin(), lines.end(), has) - lines.begin());
}

// From the line with `begin` to the first that is `end`.
Excerpt excerpt(std::string_view file, const Sources& sources, std::string_view begin,
                std::string_view end) {
  const std::vector<std::string> lines = lines_of(sources(file));
  const size_t first = only_line_with(lines, begin, file);
  const auto from = lines.begin() + static_cast<std::ptrdiff_t>(first);
  const auto last = std::find(from, lines.end(), end);
  if (last == lines.end()) missing(fmt::format("the end of '{}'", begin), file, 0);
  return {std::string(file), static_cast<int>(first) + 1, {from, last + 1}};
}

// The function of Stream<Residual> that a call names: "S::read(x)" -> its line or lines.
Excerpt stream_function(std::string_view call, bool sp, const Sources& sources) {
  if (!call.starts_with("S::")) return {};
  const std::string_view name = call.substr(3, call.find('(') - 3);
  const Excerpt whole = excerpt(
      kStreamFile, sources, sp ? "struct Stream<VaryingT> {" : "struct Stream<Invariant> {", "};");
  const size_t at = only_line_with(whole.lines, fmt::format(" {}(", name), kStreamFile);
  Excerpt function{whole.file, whole.first_line + static_cast<int>(at), {}};
  for (size_t i = at; i < whole.lines.size(); ++i) {
    function.lines.push_back(whole.lines[i]);
    if (whole.lines[i].ends_with("}")) break;
  }
  return function;
}

std::string last_scope(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string last = slash == std::string::npos ? path : path.substr(slash + 1);
  return last.starts_with("block ") ? "block" : last;
}

// What an anchor calls the step.
struct Key {
  std::string module, what;
};

Key key_of(const Step& step) {
  if (step.op)
    return {last_scope(step.site), step.largest ? "largest" : std::string(name(*step.op))};
  const size_t slash = step.site.rfind('/');
  if (slash == std::string::npos) return {"", step.site};
  return {last_scope(step.site.substr(0, slash)), step.site.substr(slash + 1)};
}

}  // namespace

Code code_of(const Anchor& anchor, bool sp, const Sources& sources) {
  Code code{.function = excerpt(anchor.file, sources, anchor.function, "}"), .why = anchor.why};
  code.line = static_cast<int>(only_line_with(code.function.lines, anchor.call, anchor.file));
  code.stream = stream_function(anchor.call, sp, sources);
  return code;
}

const Anchor& anchor_of(const std::vector<Step>& steps, size_t i) {
  const Step& step = steps.at(i);
  const Key key = key_of(step);
  int nth = 0;
  for (size_t j = 0; j < i; ++j)
    nth += steps[j].site == step.site && steps[j].phase == step.phase && steps[j].op == step.op &&
           steps[j].largest == step.largest;
  for (const Anchor& anchor : anchors())
    if (anchor.module == key.module && anchor.phase == step.phase && anchor.what == key.what &&
        anchor.nth == nth)
      return anchor;
  throw Error(ErrorKind::run,
              fmt::format("explore: no anchor for {} {} at '{}' ({})", key.what, nth + 1, step.site,
                          name(step.phase)),
              "add it to viz/explore/anchor_table.cpp");
}

}  // namespace tplab::explore
