#include "viz/explore/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "model/files/json.h"
#include "sim/error.h"
#include "viz/drawing/graphviz.h"
#include "viz/drawing/palette.h"
#include "viz/explore/diagram.h"
#include "viz/explore/reasons.h"
#include "viz/explore/sources.h"

namespace tplab::explore {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = 2'000'000;

// Numbered, each kept once.
template <class Value>
class Pool {
 public:
  size_t number_of(const Value& value) {
    const auto found = std::find(values_.begin(), values_.end(), value);
    if (found != values_.end()) return static_cast<size_t>(found - values_.begin());
    values_.push_back(value);
    return values_.size() - 1;
  }
  const std::vector<Value>& values() const { return values_; }

 private:
  std::vector<Value> values_;
};

// The fewest digits that are this f32 and no other.
double short_decimal(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

std::string_view name(Part part) {
  switch (part) {
    case Part::whole:
      return "whole";
    case Part::features:
      return "features";
    case Part::positions:
      return "positions";
  }
  return "";
}

class DataWriter {
 public:
  DataWriter(const Recording& recording, const Sources& sources)
      : recording_(recording), sources_(sources) {}

  Json data() {
    Json runs = Json::array();
    for (const Run& run : recording_.runs) runs.push_back(run_json(run));
    Json data = {{"model", model()},
                 {"tokens", recording_.tokens.ids},
                 {"targets", recording_.targets},
                 {"small", small()},
                 {"colours", colours()},
                 {"placements", placements()},
                 {"runs", runs}};
    for (const Excerpt& e : excerpts_.values())
      data["excerpts"].push_back({{"file", e.file}, {"first", e.first_line}, {"lines", e.lines}});
    data["arrays"] = arrays_;
    return data;
  }

  Json model() const {
    const Architecture& c = recording_.architecture;
    return {{"layers", c.layers()},
            {"heads", first_attention(c).heads},
            {"width", c.width},
            {"length", recording_.tokens.length},
            {"vocabulary", c.vocabulary},
            {"seed", recording_.options.seed},
            {"dtype", tplab::name(DType::f32)},
            {"bytes_each", size_bytes(DType::f32)}};
  }

 private:
  Json small() const {
    Json list = Json::array();
    for (const NamedRange& p : recording_.small)
      list.push_back({{"name", p.name}, {"first", p.first}, {"count", p.count}});
    return list;
  }

  static Json colours() {
    Json placements = Json::object();
    for (const char* const p : {"invariant", "replicated", "varying", "varying over T", "partial"})
      placements[p] = placement_colour(p);
    return {{"ranks", kRankColours}, {"placements", placements}};
  }

  // sim/placement.h
  static Json placements() {
    return {{"invariant", "the same on every rank, and so is its gradient"},
            {"replicated", "the same on every rank; each rank's gradient is one term of a sum"},
            {"varying", "each rank holds its own features"},
            {"varying over T", "each rank holds its own positions"},
            {"partial", "the value is the sum over the ranks"}};
  }

  // Equal numbers, such as those of ranks that agree, are written once.
  size_t number_of(const std::vector<float>& values) {
    const auto [found, is_new] = known_.try_emplace(values, arrays_.size());
    if (is_new) {
      Json list = Json::array();
      for (const float value : values) list.push_back(short_decimal(value));
      arrays_.push_back(std::move(list));
    }
    return found->second;
  }

  Json holding(const Holding& held) {
    Json ranks = Json::array();
    for (const auto& values : held.ranks) ranks.push_back(number_of(values));
    return {{"placement", held.placement},
            {"shape", held.shape},
            {"part", name(held.part)},
            {"fused", held.fused},
            {"ranks", ranks}};
  }

  Json run_json(const Run& run) {
    Json steps = Json::array();
    for (size_t i = 0; i < run.steps.size(); ++i) {
      const Step& step = run.steps[i];
      const Code code = code_of(step, sources_);
      Json json = {{"site", step.site}, {"phase", tplab::name(step.phase)}};
      if (step.op) {
        json["op"] = tplab::name(*step.op);
        json["largest"] = step.largest;
        json["before"] = holding(*step.before);
        json["wire"] = step.wire_bytes;
      }
      json["after"] = holding(step.after);
      json["code"] = excerpts_.number_of(code.function);
      json["line"] = code.line;
      if (!code.stream.lines.empty()) json["stream"] = excerpts_.number_of(code.stream);
      json["why"] = reason_of(run.steps, i).why;
      steps.push_back(std::move(json));
    }
    Json json = {{"tp", run.tp}, {"sp", run.sp}, {"loss", run.loss}, {"totals", Json::array()}};
    for (const Total& t : run.totals)
      json["totals"].push_back({{"sync_points", t.sync_points}, {"bytes", t.bytes}});
    json["steps"] = std::move(steps);
    return json;
  }

  const Recording& recording_;
  const Sources& sources_;
  Pool<Excerpt> excerpts_;
  std::map<std::vector<float>, size_t> known_;
  Json arrays_ = Json::array();
};

// Every `from` becomes `to`.
void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// {{name}} -> value; the template has each exactly once.
void fill(std::string& page, std::string_view name, const std::string& value) {
  const std::string mark = fmt::format("{{{{{}}}}}", name);
  page.replace(page.find(mark), mark.size(), value);
}

// The SVG of a run, for a page with several: its ids begin with the run's.
std::string figure(const Run& run, size_t number) {
  std::string svg = drawn(diagram(run), "svg");
  svg = svg.substr(svg.find("<svg"));
  replace_all(svg, " id=\"", fmt::format(" id=\"run-{}-", number));
  replace_all(svg, "<svg ",
              fmt::format("<svg role=\"img\" aria-label=\"{} ranks{}\" ", run.tp,
                          run.sp ? ", sequence parallelism" : ""));
  return fmt::format("<div data-run=\"{}\" hidden>\n{}</div>\n", number, svg);
}

}  // namespace

Json page_data(const Recording& recording, const Sources& sources) {
  return DataWriter(recording, sources).data();
}

std::string page(const Recording& recording, const PageOptions& options) {
  std::string diagrams;
  try {
    for (size_t i = 0; options.diagrams && i < recording.runs.size(); ++i)
      diagrams += figure(recording.runs[i], i);
  } catch (const Error& error) {
    throw Error(error.kind(), error.problem(),
                "install the package graphviz, or write the page without diagrams: --no-diagram");
  }
  if (!options.diagrams) diagrams = "<p>This page was written without diagrams.</p>\n";
  std::string script;
  for (const char* const part : {"page", "quiz", "actions"})
    script += embedded_text(fmt::format("viz/explore/{}.js", part));
  std::string text(embedded_text("viz/explore/page.html"));
  fill(text, "css", std::string(embedded_text("viz/explore/page.css")));
  fill(text, "js", script);
  fill(text, "diagrams", diagrams);
  fill(text, "run", script_json(page_data(recording, embedded_text)));
  if (text.size() > kMostBytes)
    fail(fmt::format("the page would have {:.1f} MB, and {} MB are its limit",
                     static_cast<double>(text.size()) / 1e6, kMostBytes / 1'000'000),
         "use fewer layers, a smaller width or fewer positions");
  return text;
}

Json totals_json(const Recording& recording) {
  Json runs = Json::array();
  for (const Run& run : recording.runs) {
    Json ranks = Json::array();
    for (const Total& t : run.totals)
      ranks.push_back({{"sync_points", t.sync_points}, {"bytes", t.bytes}});
    runs.push_back({{"tp", run.tp},
                    {"sp", run.sp},
                    {"steps", run.steps.size()},
                    {"loss", run.loss},
                    {"ranks", ranks}});
  }
  return {{"model", DataWriter(recording, embedded_text).model()}, {"runs", runs}};
}

std::string script_json(const Json& json) {
  std::string text = json_text(json, -1, true);
  replace_all(text, "<", "\\u003c");
  replace_all(text, ">", "\\u003e");
  replace_all(text, "&", "\\u0026");
  return text;
}

}  // namespace tplab::explore
