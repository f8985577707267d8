#include "cli/golden_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "model/files/bytes.h"

namespace tplab::cli {

namespace {

std::string three_lines(const std::string& title, const std::string& first,
                        const std::string& second, bool colour) {
  return fmt::format("\n{}\n  {}\n  {}\n", ink(title, Ink::bad, colour), first, second);
}

// "grad." of "grad.transformer.wte.weight"; empty of a name without a dot.
std::string_view family_of(std::string_view tensor) {
  return tensor.substr(0, tensor.find('.') == tensor.npos ? 0 : tensor.find('.') + 1);
}

}  // namespace

std::string error_text(double error) { return fmt::format("{:.1e}", error); }

Table::Cell verdict(bool good) {
  return good ? Table::Cell{"ok", Ink::good} : Table::Cell{"WRONG", Ink::bad};
}

Table::Cell golden_verdict(bool run_is_right, bool golden_agrees) {
  if (run_is_right && !golden_agrees) return {"differs", Ink::bad};
  return verdict(golden_agrees);
}

std::string finding_text(const std::string& where, const tplab::Finding& finding, bool colour) {
  return three_lines(fmt::format("{}: first wrong at {}", where, finding.site), finding.where,
                     finding.cause, colour);
}

std::string golden_finding_text(const std::string& where, const tplab::Finding& finding,
                                bool colour) {
  return three_lines(
      fmt::format("{}: the golden file differs from tplab and from its reference, which agree; "
                  "first at {}",
                  where, finding.site),
      finding.where, finding.cause, colour);
}

std::string reference_differs_text(const std::vector<AgainstResult>& all, bool colour) {
  const auto bad =
      std::find_if(all.begin(), all.end(), [](const AgainstResult& a) { return !a.good; });
  if (bad == all.end()) return "";
  return three_lines(
      fmt::format("the golden file differs from the reference, first at {}", bad->tensor),
      bad->difference, bad->why, colour);
}

std::string trace_comparison_text(const TraceComparison& trace, bool colour) {
  const std::string file = fmt::format("{} ({})", trace.path, trace.theirs);
  if (const auto& d = trace.difference)
    return three_lines(
        fmt::format("{}: rank {} first differs from {} in number {}{}", d->run, d->rank, file,
                    d->number, d->site.empty() ? "" : ", at " + d->site),
        fmt::format("here   {}{}", d->ours, d->in_values ? ", with other bits" : ""),
        fmt::format("there  {}", d->theirs), colour);
  return fmt::format(
      "\nthe same run as {}: {}, {} entries of all ranks; {}\n", file, counted(trace.runs, "run"),
      trace.entries,
      trace.why_no_values.empty()
          ? fmt::format("the bits of {} values, too", trace.values)
          : fmt::format("the sequence alone, without values: {}", trace.why_no_values));
}

std::string verdict_line(const Report& report, bool colour) {
  std::string line = ink("verified", Ink::good, colour);
  if (!report.good()) line = ink("NOT verified", Ink::bad, colour);
  const bool right = std::none_of(report.runs.begin(), report.runs.end(),
                                  [](const RunResult& run) { return run.finding.has_value(); });
  const bool same = !report.trace || report.trace->good();
  if (right && !same)
    line += ": tplab agrees with its reference, but this run is not the trace's";
  else if (right && !report.good())
    line += ": tplab agrees with its reference, and the golden file does not";
  if (const size_t left_out = report.left_out.size(); left_out > 0)
    line += fmt::format(", but for {} left out", left_out == 1 ? "the mesh" : "the meshes");
  return line + "\n";
}

std::string golden_notes_text(const std::vector<AgainstResult>& compared,
                              const std::vector<NotCompared>& not_compared) {
  std::string text;
  for (const AgainstResult& a : compared)
    if (!a.note.empty()) text += fmt::format("compared in part: {}: {}\n", a.tensor, a.note);
  std::map<std::string_view, int> families;  // of what is compared elsewhere
  for (const NotCompared& n : not_compared)
    if (n.elsewhere) ++families[family_of(n.tensor)];
  for (const NotCompared& n : not_compared) {
    const std::string_view family = family_of(n.tensor);
    const int count = n.elsewhere && !family.empty() ? std::exchange(families[family], 0) : 1;
    if (count == 0) continue;  // with the first of its family
    text += fmt::format(
        "not compared: {}: {}\n",
        count == 1 ? in_quotes(n.tensor) : fmt::format("{}* ({} tensors)", family, count), n.why);
  }
  return text;
}

}  // namespace tplab::cli
