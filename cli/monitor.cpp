// tplab monitor: GPUs as the driver tells of them, alone or while a command runs; or virtual ranks.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "cli/called.h"
#include "cli/command.h"
#include "cli/gpu_samples.h"
#include "cli/interrupt.h"
#include "cli/rank_report.h"
#include "cli/settings.h"
#include "cli/step_settings.h"
#include "cli/watched_command.h"
#include "model/files/bytes.h"
#include "sim/error.h"

namespace tplab::cli {

namespace {

using MonitorClock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

std::optional<std::string> variable(const char* name) {
  const char* const value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

struct MonitorCommand {
  StepSettings settings;
  Output output;
  double every = 0;  // 0: not given
  int64_t count = 0, steps = 1;
  bool csv = false;
  std::string library = nvml::kLibraryName;
  std::optional<Words> watched;  // what stood behind --
  std::vector<const CLI::Option*> of_gpus, of_ranks;

  void run(int& exit_code);

 private:
  bool has_model() const {
    return !settings.model.preset.empty() || !settings.model.checkpoint.empty();
  }
  void check_options() const;
  void watch_ranks();
  int watch_gpus(const Gpus& gpus);
  int watch_command(const Gpus& gpus);
  GpuSample sample(const Gpus& gpus) const;
  void document(const Gpus& gpus, const GpuSample& last, const nlohmann::ordered_json& samples,
                const nlohmann::ordered_json& of_command, const nlohmann::ordered_json& summary);
  void say_watched(const GpuWatch& watch, const std::string& words);

  MonitorClock::time_point start_ = MonitorClock::now();
  CudaEnvironment cuda_{variable("CUDA_VISIBLE_DEVICES"), variable("CUDA_DEVICE_ORDER")};
};

const CLI::Option* first_given(const std::vector<const CLI::Option*>& options) {
  for (const CLI::Option* option : options)
    if (option->count() > 0) return option;
  return nullptr;
}

void MonitorCommand::check_options() const {
  const CLI::Option* const misplaced = first_given(has_model() ? of_gpus : of_ranks);
  if (misplaced && has_model())
    fail(fmt::format("{} is of GPUs, and a model was named, whose virtual ranks are watched",
                     misplaced->get_name()),
         "drop it, or --preset and --checkpoint");
  if (misplaced)
    fail(fmt::format("{} is of virtual ranks, and no model was named", misplaced->get_name()),
         "give --preset NAME, as in --preset nano-cpu, or drop it");
  if (!watched) return;
  if (has_model())
    fail("a model's virtual ranks and a command cannot be watched at once",
         "drop --preset and --checkpoint, or the command behind --");
  if (watched->empty())
    fail("no command stands behind --", "put it there, as in tplab monitor -- sleep 5");
  if (count > 0)
    fail("--count is of tables without a command, which is watched until it ends", "drop it");
  if ((output.json() || csv) && output.path().empty())
    fail("stdout and stderr are the command's", "give -o FILE for what is written of it");
}

GpuSample MonitorCommand::sample(const Gpus& gpus) const {
  GpuSample now{
      .seconds = Seconds(MonitorClock::now() - start_).count(), .gpus = gpus.read(), .visible = {}};
  now.visible = visible_gpus(now.gpus, cuda_);
  return now;
}

void MonitorCommand::document(const Gpus& gpus, const GpuSample& last,
                              const nlohmann::ordered_json& samples,
                              const nlohmann::ordered_json& of_command,
                              const nlohmann::ordered_json& summary) {
  const auto text = [](const std::optional<std::string>& one) {
    return one ? nlohmann::ordered_json(*one) : nlohmann::ordered_json();
  };
  output.document({{"kind", "gpus"},
                   {"driver", text(gpus.driver_version())},
                   {"cuda_visible_devices", text(cuda_.visible_devices)},
                   {"cuda_device_order", text(cuda_.device_order)},
                   {"notes", last.visible.notes},
                   {"samples", samples},
                   {"watched", of_command},
                   {"summary", summary}});
}

// Until this moment, or a signal.
void sleep_until(MonitorClock::time_point moment, const Interrupt& interrupt) {
  constexpr std::chrono::milliseconds kSlice(50);  // a sleep does not end early for a signal
  while (!interrupt.requested() && MonitorClock::now() < moment)
    std::this_thread::sleep_for(
        std::min<MonitorClock::duration>(kSlice, moment - MonitorClock::now()));
}

// Once, or again and again. Returns the exit code.
int MonitorCommand::watch_gpus(const Gpus& gpus) {
  const bool repeats = every > 0 || count > 0;
  const auto step =
      std::chrono::duration_cast<MonitorClock::duration>(Seconds(every > 0 ? every : 1.0));
  const Interrupt interrupt;
  nlohmann::ordered_json samples = nlohmann::ordered_json::array();
  GpuSample now;
  if (csv) output.text(sample_csv_header());
  auto next = MonitorClock::now();
  for (int64_t i = 0; !interrupt.requested(); ++i) {
    now = sample(gpus);
    const TextLook look{output.colour(), output.columns()};
    if (output.json())
      samples.push_back(sample_json(now));
    else if (csv)
      output.text(sample_csv(now));
    else
      output.text(fmt::format("{}{:.1f} s, NVIDIA driver {}\n", i > 0 ? "\n" : "", now.seconds,
                              gpus.driver_version().value_or("of unknown version")) +
                  sample_text(now, i == 0, look));
    if (!output.json()) output.flush();
    if (i + 1 == (repeats ? count : 1)) break;  // a count of 0 never comes
    next = std::max(next + step, MonitorClock::now());
    sleep_until(next, interrupt);
  }
  if (output.json()) document(gpus, now, samples, nullptr, nullptr);
  output.close();
  return interrupt.requested() ? 128 + interrupt.signal() : 0;
}

// stdout is the command's: what is said of it goes where `time` says it, or to -o.
void MonitorCommand::say_watched(const GpuWatch& watch, const std::string& words) {
  if (!output.path().empty() && !csv) {
    output.lines(words);
    output.text(summary_text(watch, {output.colour(), output.columns()}));
    return;
  }
  to_stderr("{}", words);
  const std::string text = summary_text(watch, {takes_codes(STDERR_FILENO), terminal_columns()});
  std::fwrite(text.data(), 1, text.size(), stderr);
}

// Returns the command's exit code.
int MonitorCommand::watch_command(const Gpus& gpus) {
  GpuWatch watch;
  GpuSample last;
  const auto take = [&] {
    last = sample(gpus);
    watch.add(last.gpus, last.counts());
    if (!csv) return;
    output.text(sample_csv(last));
    output.flush();
  };
  if (csv) output.text(sample_csv_header());
  start_ = MonitorClock::now();
  Ticker ticker(Seconds(every > 0 ? every : 0.5), take);
  WatchedCommand command(*watched);
  const int exit_code = command.wait();
  const double seconds = Seconds(MonitorClock::now() - start_).count();
  try {
    ticker.stop();
    if (watch.samples() == 0) take();
    if (output.json())
      document(gpus, last, nlohmann::ordered_json::array(),
               {{"command", *watched},
                {"exit_code", exit_code},
                {"seconds", seconds},
                {"samples", watch.samples()}},
               summary_json(watch));
    else
      say_watched(watch, fmt::format("{}: exit code {}, {:.1f} s; {} at {}\n{}\n",
                                     printable_line((*watched)[0]), exit_code, seconds,
                                     counted(watch.samples(), "look"),
                                     counted(static_cast<int64_t>(last.gpus.size()), "GPU"),
                                     fmt::join(last.visible.notes, "\n")));
    output.close();
  } catch (const Error& error) {  // what is wrong with the report hides no failure of the command
    if (exit_code == 0) throw;
    to_stderr("tplab: {}\n", error.what());
  }
  return exit_code;
}

void MonitorCommand::watch_ranks() {
  const std::unique_ptr<WeightSource> source = settings.open();
  require_step_memory(*source, settings.step);
  const RanksReport report{.mesh = settings.step.parallelism.mesh(),
                           .steps = steps,
                           .ranks = watch_steps(*source, settings.step, steps)};
  const std::string model = settings.model.describe(*source);
  if (output.json()) {
    nlohmann::ordered_json doc = {
        {"kind", "ranks"}, {"model", model}, {"step", describe(settings.step)}};
    doc.update(report.json());
    output.document(doc);
  } else if (csv) {
    output.text(report.csv());
  } else {
    output.lines(fmt::format("{}\n{}\na step, averaged over {}\n\n", output.safe(model),
                             describe(settings.step), counted(steps, "step")));
    output.text(report.text(output.colour(), output.columns()));
    output.lines(
        "\nimbalance: computing, against the mean of all ranks. Waiting: for the last rank of a "
        "collective to come. On more ranks than cores, waiting and moving are for a core, too.\n");
  }
  output.close();
}

void MonitorCommand::run(int& exit_code) {
  check_options();
  output.open({settings.model.checkpoint});
  if (has_model()) return watch_ranks();
  const Gpus gpus(library);
  exit_code = watched ? watch_command(gpus) : watch_gpus(gpus);
}

CLI::Validator some_seconds() {
  return {[](const std::string& text) {
            constexpr double kLeast = 0.01, kMost = 86400;
            char* end = nullptr;
            const double seconds = std::strtod(text.c_str(), &end);
            const bool is_number = !text.empty() && end == text.c_str() + text.size();
            if (is_number && seconds >= kLeast && seconds <= kMost) return std::string();
            return fmt::format("{} is not a number of seconds from {} to {}", in_quotes(text),
                               kLeast, kMost);
          },
          ""};
}

}  // namespace

void add_monitor(CLI::App& app, int& exit_code, const std::optional<Words>& watched) {
  auto command = std::make_shared<MonitorCommand>();
  command->watched = watched;
  CLI::App* sub =
      app.add_subcommand("monitor", "What GPUs do, alone or beside a command; or virtual ranks");
  sub->footer(R"(Examples:
  tplab monitor                                    the GPUs now, their UUIDs and processes
  tplab monitor --every 2                          again and again; Ctrl-C ends it
  tplab monitor --every 0.5 --csv -o load.csv      a line a GPU each time
  tplab monitor -- python3 train.py --steps 100    average, peak and imbalance of a run
  tplab monitor --json -o load.json -- mpirun -n 4 program
  tplab monitor --preset nano-cpu --tp 4           virtual ranks: computing, waiting, moving
A command keeps stdin, stdout and stderr, and its exit code is tplab's. What is said of the GPUs comes
when it has ended, on stderr, as `time` says it, or with -o in a file. GPUs are numbered as by
nvidia-smi, in the order of the bus; "CUDA's" is what CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER make of
that for a program that is started from here. A MIG device is named 0.1; what it or the driver does not
give is "-", in JSON null. Imbalance is a GPU's average against the mean of those that CUDA sees. Busy
says that something ran on the GPU, not how much of it was in use; "held back by" is why its clocks are
not higher (NVIDIA's throttle reasons).)");
  command->settings.add_options(*sub);
  sub->add_option("--steps", command->steps, "of virtual ranks, after a first that does not count")
      ->check(whole_number(1))
      ->capture_default_str();
  for (const CLI::Option* option : sub->get_options()) command->of_ranks.push_back(option);
  std::erase(command->of_ranks, sub->get_option("--preset"));
  std::erase(command->of_ranks, sub->get_option("--checkpoint"));
  const auto of_gpus = [&](CLI::Option* option) {
    command->of_gpus.push_back(option->group("GPUs"));
    return option;
  };
  of_gpus(sub->add_option("--every", command->every,
                          "look again after so many seconds (a command: each half second)"))
      ->check(some_seconds())
      ->type_name("SECONDS");
  of_gpus(sub->add_option("--count", command->count, "so often (for ever)"))
      ->check(whole_number(1));
  of_gpus(sub->add_option("--nvml", command->library, "the driver's library of management"))
      ->capture_default_str()
      ->type_name("FILE");
  CLI::Option* const csv = sub->add_flag("--csv", command->csv, "print lines of CSV");
  command->output.add_options(*sub);
  csv->excludes(sub->get_option("--json"));
  sub->callback([command, &exit_code] { command->run(exit_code); });
}

}  // namespace tplab::cli
