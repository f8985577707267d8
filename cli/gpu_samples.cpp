#include "cli/gpu_samples.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "sim/text/bytes_text.h"
#include "sim/text/utf8.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;
using Column = Table::Column;

constexpr const char* kNotGiven = "-";

template <class T>
std::string or_dash(const std::optional<T>& value, const char* format = "{}") {
  return value ? fmt::format(fmt::runtime(format), *value) : kNotGiven;
}

std::string bytes_or_dash(const std::optional<int64_t>& bytes) {
  return bytes ? bytes_text(*bytes) : kNotGiven;
}

template <class T>
Json json_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

std::string cuda_number_text(const CudaView& view) {
  if (view.number) return fmt::format("{}", *view.number);
  return view.visible ? (*view.visible ? "yes" : "no") : kNotGiven;
}

// "100 W of 700"
std::string power_text(const GpuReading& gpu) {
  return or_dash(gpu.power_w, "{:.0f} W") +
         (gpu.power_w && gpu.power_limit_w ? fmt::format(" of {:.0f}", *gpu.power_limit_w) : "");
}

std::string reasons_text(const GpuReading& gpu) {
  if (!gpu.throttle_reasons) return kNotGiven;
  return gpu.throttle_reasons->empty() ? "nothing"
                                       : fmt::format("{}", fmt::join(*gpu.throttle_reasons, ", "));
}

// One line's text as it is shown, whatever a driver or a program is called.
std::string printable_or_dash(const std::optional<std::string>& text) {
  return text ? printable_line(*text) : kNotGiven;
}

Table numbers_table(const GpuSample& sample) {
  using enum Table::Align;
  Table table({{"GPU", right},
               {"CUDA's", right},
               {"name"},
               {"busy", right},
               {"memory used", right},
               {"free", right},
               {"reserved", right},
               {"total", right},
               {"heat", right},
               {"power", right},
               {"SM MHz", right},
               {"memory MHz", right},
               {"held back by"}});
  for (size_t i = 0; i < sample.gpus.size(); ++i) {
    const GpuReading& gpu = sample.gpus[i];
    table.row({{gpu.number},
               {cuda_number_text(sample.visible.views[i])},
               {printable_or_dash(gpu.name)},
               {or_dash(gpu.utilisation_percent, "{} %")},
               {bytes_or_dash(gpu.memory_used_bytes)},
               {bytes_or_dash(gpu.memory_free_bytes)},
               {bytes_or_dash(gpu.memory_reserved_bytes)},
               {bytes_or_dash(gpu.memory_total_bytes)},
               {or_dash(gpu.temperature_c, "{} C")},
               {power_text(gpu)},
               {or_dash(gpu.sm_clock_mhz)},
               {or_dash(gpu.memory_clock_mhz)},
               {reasons_text(gpu)}});
  }
  return table;
}

std::string who_text(const GpuSample& sample, TextLook look) {
  Table uuids({{"GPU", Table::Align::right}, {"UUID"}});
  Table processes({{"GPU", Table::Align::right},
                   {"process", Table::Align::right},
                   {"memory", Table::Align::right},
                   {"program"}},
                  2);
  bool some = false;
  for (const GpuReading& gpu : sample.gpus) {
    uuids.row({{gpu.number}, {printable_or_dash(gpu.uuid)}});
    for (const GpuProcess& one : gpu.processes.value_or(std::vector<GpuProcess>())) {
      processes.row({{gpu.number},
                     {fmt::format("{}", one.pid)},
                     {bytes_or_dash(one.memory_bytes)},
                     {printable_or_dash(one.name)}});
      some = true;
    }
  }
  return "\n" + uuids.text(look.colour, look.columns) +
         (some ? "\n" + processes.text(look.colour, look.columns) : "");
}

std::string missing_text(const std::string& number, const GpuReading::Missing& missing) {
  return fmt::format("GPU {}: {}: {}\n", number,
                     missing.field == "all" ? "gives nothing" : missing.field, missing.why);
}

std::string notes_text(const GpuSample& sample, TextLook look) {
  std::string notes;
  for (const std::string& note : sample.visible.notes) notes += note + "\n";
  for (const GpuReading& gpu : sample.gpus)
    for (const GpuReading::Missing& missing : gpu.missing)
      if (missing.is_error) notes += missing_text(gpu.number, missing);
  return notes.empty() ? ""
                       : "\n" + ink(fitted(printable(notes), look.columns), Ink::dim, look.colour);
}

Json processes_json(const std::optional<std::vector<GpuProcess>>& processes) {
  if (!processes) return nullptr;
  Json list = Json::array();
  for (const GpuProcess& one : *processes)
    list.push_back({{"pid", one.pid},
                    {"name", json_or_null(one.name)},
                    {"memory_bytes", json_or_null(one.memory_bytes)}});
  return list;
}

Json missing_json(const std::vector<GpuReading::Missing>& all) {
  Json list = Json::array();
  for (const GpuReading::Missing& one : all)
    list.push_back({{"field", one.field}, {"why", one.why}, {"error", one.is_error}});
  return list;
}

// What a reading is made of beyond its identity, as {"memory_used_bytes", its value}.
std::vector<std::pair<const char*, Json>> numbers_of(const GpuReading& gpu) {
  return {{"memory_total_bytes", json_or_null(gpu.memory_total_bytes)},
          {"memory_used_bytes", json_or_null(gpu.memory_used_bytes)},
          {"memory_free_bytes", json_or_null(gpu.memory_free_bytes)},
          {"memory_reserved_bytes", json_or_null(gpu.memory_reserved_bytes)},
          {"utilisation_percent", json_or_null(gpu.utilisation_percent)},
          {"temperature_c", json_or_null(gpu.temperature_c)},
          {"power_w", json_or_null(gpu.power_w)},
          {"power_limit_w", json_or_null(gpu.power_limit_w)},
          {"sm_clock_mhz", json_or_null(gpu.sm_clock_mhz)},
          {"memory_clock_mhz", json_or_null(gpu.memory_clock_mhz)}};
}

// A field of CSV (RFC 4180): in quotes where it has to be.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv_number(const Json& value) {
  if (value.is_null()) return "";
  return value.is_number_float() ? fmt::format("{:.3f}", value.get<double>())
                                 : fmt::format("{}", value.get<int64_t>());
}

// The quantities of a summary: how each is called, and written.
struct Quantity {
  const char *name, *field;
  WatchedQuantity GpuSummary::*of;
  std::string (*text)(double);
};
constexpr Quantity kQuantities[] = {
    {"busy", "utilisation_percent", &GpuSummary::utilisation_percent,
     [](double v) { return fmt::format("{:.0f} %", v); }},
    {"memory", "memory_used_bytes", &GpuSummary::memory_used_bytes,
     [](double v) { return bytes_text(v); }},
    {"power", "power_w", &GpuSummary::power_w, [](double v) { return fmt::format("{:.0f} W", v); }},
    {"heat", "temperature_c", &GpuSummary::temperature_c,
     [](double v) { return fmt::format("{:.0f} C", v); }}};

}  // namespace

std::vector<bool> GpuSample::counts() const {
  std::vector<bool> all;
  for (size_t i = 0; i < gpus.size(); ++i)
    all.push_back(visible.views[i].visible.value_or(true) && !gpus[i].mig_mode.value_or(false));
  return all;
}

std::string sample_text(const GpuSample& sample, bool whole, TextLook look) {
  const std::string table = numbers_table(sample).text(look.colour, look.columns);
  return whole ? table + who_text(sample, look) + notes_text(sample, look) : table;
}

Json sample_json(const GpuSample& sample) {
  Json list = Json::array();
  for (size_t i = 0; i < sample.gpus.size(); ++i) {
    const GpuReading& gpu = sample.gpus[i];
    Json one = {{"gpu", gpu.number},
                {"cuda", json_or_null(sample.visible.views[i].number)},
                {"cuda_visible", json_or_null(sample.visible.views[i].visible)},
                {"name", json_or_null(gpu.name)},
                {"uuid", json_or_null(gpu.uuid)},
                {"is_mig_device", gpu.is_mig_device},
                {"mig_mode", json_or_null(gpu.mig_mode)},
                {"gpu_instance", json_or_null(gpu.gpu_instance)},
                {"compute_instance", json_or_null(gpu.compute_instance)}};
    for (const auto& [field, value] : numbers_of(gpu)) one[field] = value;
    one["throttle_reasons"] = json_or_null(gpu.throttle_reasons);
    one["processes"] = processes_json(gpu.processes);
    one["missing"] = missing_json(gpu.missing);
    list.push_back(std::move(one));
  }
  return {{"seconds", sample.seconds}, {"gpus", list}};
}

std::string sample_csv_header() {
  std::string line = "seconds,gpu,cuda,name,uuid";
  for (const auto& [field, value] : numbers_of({})) line += fmt::format(",{}", field);
  return line + ",throttle_reasons,processes\n";
}

std::string sample_csv(const GpuSample& sample) {
  std::string text;
  for (size_t i = 0; i < sample.gpus.size(); ++i) {
    const GpuReading& gpu = sample.gpus[i];
    const auto& cuda = sample.visible.views[i].number;
    text += fmt::format("{:.3f},{},{},{},{}", sample.seconds, gpu.number,
                        cuda ? fmt::format("{}", *cuda) : "",
                        csv_field(printable_line(gpu.name.value_or(""))),
                        csv_field(printable_line(gpu.uuid.value_or(""))));
    for (const auto& [field, value] : numbers_of(gpu)) text += "," + csv_number(value);
    const auto reasons = gpu.throttle_reasons.value_or(std::vector<std::string>());
    std::string processes;
    for (const GpuProcess& one : gpu.processes.value_or(std::vector<GpuProcess>()))
      processes += fmt::format("{}{}:{}", processes.empty() ? "" : ";", one.pid,
                               one.memory_bytes ? fmt::format("{}", *one.memory_bytes) : "");
    text += fmt::format(",{},{}\n", fmt::join(reasons, ";"), processes);
  }
  return text;
}

std::string imbalance_text(const std::optional<double>& imbalance) {
  if (!imbalance) return kNotGiven;
  const double percent = std::round(100 * *imbalance);
  return fmt::format("{:+.0f} %", percent == 0 ? 0.0 : percent);  // no -0
}

std::string summary_text(const GpuWatch& watch, TextLook look) {
  using enum Table::Align;
  Table table({{"GPU", right},
               {"what"},
               {"average", right},
               {"peak", right},
               {"imbalance", right},
               {"held back by"}},
              2);
  std::string errors;
  for (const GpuSummary& gpu : watch.summaries()) {
    bool is_first = true;
    for (const Quantity& quantity : kQuantities) {
      const WatchedQuantity& watched = gpu.*quantity.of;
      const std::string reasons = fmt::format("{}", fmt::join(gpu.throttle_reasons, ", "));
      table.row({{gpu.number},
                 {quantity.name},
                 {watched.average ? quantity.text(*watched.average) : kNotGiven},
                 {watched.peak ? quantity.text(*watched.peak) : kNotGiven},
                 {imbalance_text(watched.imbalance)},
                 {is_first ? reasons : ""}});
      is_first = false;
    }
    for (const GpuReading::Missing& error : gpu.errors) errors += missing_text(gpu.number, error);
  }
  return table.text(look.colour, look.columns) + fitted(printable(errors), look.columns);
}

Json summary_json(const GpuWatch& watch) {
  Json list = Json::array();
  for (const GpuSummary& gpu : watch.summaries()) {
    Json one = {
        {"gpu", gpu.number}, {"name", json_or_null(gpu.name)}, {"uuid", json_or_null(gpu.uuid)}};
    for (const Quantity& quantity : kQuantities) {
      const WatchedQuantity& watched = gpu.*quantity.of;
      one[quantity.field] = {{"average", json_or_null(watched.average)},
                             {"peak", json_or_null(watched.peak)},
                             {"imbalance", json_or_null(watched.imbalance)},
                             {"readings", watched.readings}};
    }
    one["throttle_reasons"] = gpu.throttle_reasons;
    one["errors"] = missing_json(gpu.errors);
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace tplab::cli
