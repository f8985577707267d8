// tplab doctor: what this machine can do, what this build has, and what to mend.
#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "cli/command.h"
#include "cli/crew_of.h"
#include "cli/gpu_facts.h"
#include "cli/machine_facts.h"
#include "sim/machine/backends.h"
#include "sim/machine/measure.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

enum class State { ok, note, fix };
constexpr std::string_view kStates[] = {"ok", "note", "fix"};

// One line of the report.
struct Finding {
  State state;
  std::string name, text, advice = {};
};

// What the machine can do at best, with some number of threads.
struct Measured {
  int threads;
  ReadBandwidth read;
  double copy, f32, f64;  // bytes and floating-point operations a second
};

std::vector<Measured> measure_all(int cores) {
  std::vector<int> counts = {1};
  if (cores > 1) counts.push_back(cores);
  std::vector<Measured> list;
  Progress progress;
  double done = 0;
  const auto step = [&](int threads, const char* what, auto f) {
    progress.show(fmt::format("{}, {}", what, counted(threads, "thread")),
                  done++ / (4 * static_cast<double>(counts.size())));
    return with_crew(threads, f);
  };
  for (int threads : counts) {
    Measured m{.threads = threads, .read = {}, .copy = 0, .f32 = 0, .f64 = 0};
    m.read = step(threads, "reading", measure_read_bandwidth);
    m.copy = step(threads, "copying", measure_copy_bandwidth);
    m.f32 = step(threads, "multiplying in f32",
                 [](Crew& crew) { return measure_matmul_flops(crew, DType::f32); });
    m.f64 = step(threads, "multiplying in f64",
                 [](Crew& crew) { return measure_matmul_flops(crew, DType::f64); });
    list.push_back(m);
  }
  return list;
}

std::string or_none(const std::vector<std::string>& list) {
  return list.empty() ? "none" : fmt::format("{}", fmt::join(list, ", "));
}

// Those that are built, "cpu (f32, f64)", then those that are not.
void add_backends(const std::string& kind, std::span<const Backend> backends,
                  std::vector<Finding>& all) {
  std::vector<std::string> built;
  for (const Backend& backend : backends)
    if (backend.built) built.push_back(fmt::format("{} ({})", backend.name, backend.what));
  all.push_back({State::ok, kind + "s", fmt::format("{}", fmt::join(built, ", "))});
  for (const Backend& backend : backends)
    if (!backend.built)
      all.push_back(
          {State::note, std::string(backend.name),
           fmt::format("not in this build{}{}", backend.what.empty() ? "" : ": ", backend.what),
           fmt::format("use --{} {}", kind, backends.front().name)});
}

Json backends_json(std::span<const Backend> backends) {
  Json json;
  for (const Backend& backend : backends) json[std::string(backend.name)] = backend.built;
  return json;
}

void add_machine(const MachineFacts& f, std::vector<Finding>& all) {
  const bool restricted = f.cores < f.cores_online;
  all.push_back({restricted ? State::note : State::ok, "cores",
                 fmt::format("{} of {} for this process{}", f.cores, f.cores_online,
                             f.cpu.empty() ? "" : ", " + f.cpu),
                 restricted ? f.container.cores && *f.container.cores == f.cores
                                  ? "the container (its control group) gives no more time"
                                  : "taskset or the container holds the others back"
                            : ""});
  const bool unused = !f.simd_unused().empty();
  all.push_back(
      {unused ? State::fix : State::ok, "SIMD",
       fmt::format("built for {}; this CPU has {}", or_none(f.simd_compiled), or_none(f.simd_cpu)),
       unused ? fmt::format("{} would be used after: cmake -DTPLAB_NATIVE=ON",
                            or_none(f.simd_unused()))
              : ""});
  all.push_back({f.threads_problem.empty() ? State::ok : State::fix, "threads",
                 f.threads_problem.empty() ? fmt::format("one for each of {} cores", f.cores)
                                           : f.threads_problem,
                 f.threads_fix});
  const auto bytes = [](const std::optional<int64_t>& n) { return n ? bytes_text(*n) : "unknown"; };
  constexpr int64_t kLittle = int64_t{2} << 30;
  const bool little = f.memory_available_bytes && *f.memory_available_bytes < kLittle;
  all.push_back(
      {little ? State::note : State::ok, "memory",
       fmt::format("{}, {} available", bytes(f.memory_bytes), bytes(f.memory_available_bytes)),
       little ? "gpt2 in f32 at two --tp needs 2 GiB; the nano presets need little" : ""});
  const bool never = f.huge_pages == "never";
  all.push_back({never ? State::note : State::ok, "huge pages",
                 f.huge_pages.empty() ? "unknown" : f.huge_pages,
                 never ? "decoding is faster after: echo madvise | sudo tee "
                         "/sys/kernel/mm/transparent_hugepage/enabled"
                       : ""});
}

void add_measured(const std::vector<Measured>& measured, std::vector<Finding>& all) {
  for (const Measured& m : measured) {
    const std::string who = counted(m.threads, "thread");
    all.push_back({State::ok, "memory, " + who,
                   fmt::format("reads {:.1f} GB/s, copies {:.1f} GB/s",
                               m.read.bytes_per_second * 1e-9, m.copy * 1e-9),
                   m.read.partly_cached ? fmt::format("reading {} again and again, partly from the "
                                                      "cache: memory alone is slower",
                                                      bytes_text(m.read.bytes))
                                        : ""});
    all.push_back(
        {State::ok, "products, " + who,
         fmt::format("{:.0f} GFLOP/s in f32, {:.0f} in f64", m.f32 * 1e-9, m.f64 * 1e-9)});
  }
}

// Where a build has CUDA, what keeps this machine from using it is something to mend only if there
// is a driver: a machine without a GPU is well as it is.
void add_gpus(const GpuFacts& f, std::vector<Finding>& all) {
  const bool built = !f.cuda.built_for.empty();
  if (f.cuda.problem.empty())
    all.push_back({State::ok, "CUDA", cuda_text(f.cuda)});
  else if (built)
    all.push_back(
        {f.cuda.driver.empty() ? State::note : State::fix, "CUDA",
         fmt::format("built for {}, and not of use here: {}", f.cuda.built_for, f.cuda.problem),
         f.cuda.fix});
  for (size_t i = 0; i < f.cuda.gpus.size(); ++i) {
    const std::string name = fmt::format("GPU {}", i);
    all.push_back({State::ok, name, gpu_text(f.cuda, i)});
    if (i >= f.measured.size()) continue;
    if (f.measured[i].speed)
      all.push_back({State::ok, name, speed_text(*f.measured[i].speed)});
    else
      all.push_back(
          {State::fix, name, "cannot be measured: " + f.measured[i].problem, f.measured[i].fix});
  }
  if (f.nccl.built.empty()) return;
  if (f.nccl.problem.empty())
    all.push_back({State::ok, "NCCL", fmt::format("{}, built for {}", f.nccl.found, f.nccl.built)});
  else
    all.push_back({State::note, "NCCL", f.nccl.problem, f.nccl.fix});
}

Json gpus_json(const GpuFacts& f) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  Json doc = {{"cuda",
               {{"built_for", or_null(f.cuda.built_for)},
                {"driver", or_null(f.cuda.driver)},
                {"cublas", or_null(f.cuda.cublas)},
                {"problem", or_null(f.cuda.problem)}}},
              {"nccl",
               {{"built_for", or_null(f.nccl.built)},
                {"found", or_null(f.nccl.found)},
                {"problem", or_null(f.nccl.problem)}}},
              {"gpus", Json::array()}};
  for (size_t i = 0; i < f.cuda.gpus.size(); ++i) {
    const Gpu& gpu = f.cuda.gpus[i];
    Json measured;
    if (i < f.measured.size() && f.measured[i].speed) {
      const GpuSpeed& speed = *f.measured[i].speed;
      measured = {{"copy_bytes_per_second", speed.copy_bytes_per_second},
                  {"bf16_flops_per_second", speed.bf16_flops},
                  {"tf32_flops_per_second", speed.tf32_flops},
                  {"f32_flops_per_second", speed.f32_flops},
                  {"f64_flops_per_second", speed.f64_flops},
                  {"launch_seconds", speed.launch_seconds},
                  {"graph_node_seconds", speed.graph_node_seconds}};
    }
    doc["gpus"].push_back({{"name", gpu.name},
                           {"uuid", gpu.uuid},
                           {"compute_capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
                           {"multiprocessors", gpu.multiprocessors},
                           {"memory_bytes", gpu.memory_bytes},
                           {"peer_access", gpu.reaches},
                           {"measured", measured}});
  }
  return doc;
}

void add_build(const MachineFacts& f, std::vector<Finding>& all) {
  const bool slow = f.build_type != "Release" && f.build_type != "RelWithDebInfo";
  const bool checked = !f.sanitizers.empty();
  all.push_back({slow      ? State::fix
                 : checked ? State::note
                           : State::ok,
                 "build",
                 fmt::format("tplab {}, {}, {}{}", f.version, f.build_type, f.compiler,
                             checked ? ", sanitizers: " + f.sanitizers : ""),
                 slow      ? "for speed, build with -DCMAKE_BUILD_TYPE=Release"
                 : checked ? "sanitizers are for finding bugs; timings mean nothing"
                           : ""});
  std::string libraries;
  for (const auto& [name, version] : f.libraries)
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version);
  all.push_back({State::ok, "libraries", libraries});
  add_backends("device", devices(), all);
  add_backends("comm", comms(), all);
  all.push_back({f.dot.empty() ? State::note : State::ok, "Graphviz",
                 f.dot.empty() ? "no dot in PATH" : f.dot,
                 f.dot.empty() ? "only pictures need it: sudo apt install graphviz" : ""});
}

std::string text(const std::vector<Finding>& all, bool colour, int columns) {
  constexpr Ink kInks[] = {Ink::good, Ink::dim, Ink::bad};
  size_t names = 0;
  for (const Finding& one : all) names = std::max(names, display_width(one.name));
  Table table({{"what"}, {"state"}, {"found"}});
  for (const Finding& one : all) {
    const auto state = static_cast<size_t>(one.state);
    bool is_first = true;
    const auto add = [&](const std::string& paragraph, Ink ink) {
      std::istringstream lines(
          wrapped(paragraph, static_cast<size_t>(columns) - names - 9));  // state and two gaps
      for (std::string line; std::getline(lines, line); is_first = false)
        table.row({{is_first ? one.name : ""},
                   {is_first ? std::string(kStates[state]) : "", kInks[state]},
                   {line, ink}});
    };
    add(one.text, Ink::plain);
    add(one.advice, Ink::dim);
  }
  return table.text(colour, columns);
}

Json json(const MachineFacts& f, const GpuFacts& gpus, const std::vector<Measured>& measured,
          const std::vector<Finding>& all) {
  const auto or_null = [](const std::optional<int64_t>& n) { return n ? Json(*n) : Json(); };
  Json doc = {{"schema", 1},
              {"version", f.version},
              {"cpu", f.cpu},
              {"cores", f.cores},
              {"cores_online", f.cores_online},
              {"simd", {{"compiled", f.simd_compiled}, {"cpu", f.simd_cpu}}},
              {"threads_work", f.threads_problem.empty()},
              {"container",
               {{"cores", f.container.cores ? Json(*f.container.cores) : Json()},
                {"memory_bytes", or_null(f.container.memory_bytes)}}},
              {"memory_bytes", or_null(f.memory_bytes)},
              {"memory_available_bytes", or_null(f.memory_available_bytes)},
              {"huge_pages", f.huge_pages},
              {"measured", Json::array()},
              {"compiler", f.compiler},
              {"build_type", f.build_type},
              {"sanitizers", f.sanitizers},
              {"libraries", Json::object()},
              {"devices", backends_json(devices())},
              {"comms", backends_json(comms())},
              {"graphviz", f.dot.empty() ? Json() : Json(f.dot)},
              {"checks", Json::array()}};
  doc.update(gpus_json(gpus));
  for (const Measured& m : measured)
    doc["measured"].push_back({{"threads", m.threads},
                               {"read_bytes_per_second", m.read.bytes_per_second},
                               {"read_buffer_bytes", m.read.bytes},
                               {"read_partly_cached", m.read.partly_cached},
                               {"copy_bytes_per_second", m.copy},
                               {"matmul_f32_flops_per_second", m.f32},
                               {"matmul_f64_flops_per_second", m.f64}});
  for (const auto& [name, version] : f.libraries) doc["libraries"][name] = version;
  for (const Finding& one : all)
    doc["checks"].push_back({{"name", one.name},
                             {"state", kStates[static_cast<size_t>(one.state)]},
                             {"found", one.text},
                             {"advice", one.advice}});
  return doc;
}

void run(Output& output) {
  output.open();
  const MachineFacts facts = machine_facts();
  const GpuFacts gpus = gpu_facts();
  const std::vector<Measured> measured = measure_all(facts.cores);
  std::vector<Finding> all;
  add_machine(facts, all);
  add_measured(measured, all);
  add_gpus(gpus, all);
  add_build(facts, all);
  if (output.json())
    output.document(json(facts, gpus, measured, all));
  else
    output.lines(text(all, output.colour(), output.columns()));
  output.close();
}

}  // namespace

void add_doctor(CLI::App& app, int&) {
  auto output = std::make_shared<Output>();
  CLI::App* sub =
      app.add_subcommand("doctor", "What this machine can do, what is built in, and what to mend");
  sub->footer(R"(Examples:
  tplab doctor
  tplab doctor --json > machine.json
It takes some fifteen seconds. `tplab bench` measures its limits anew, beside what it times.)");
  output->add_options(*sub);
  sub->callback([output] { run(*output); });
}

}  // namespace tplab::cli
