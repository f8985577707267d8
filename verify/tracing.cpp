#include "verify/tracing.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "model/files/bytes.h"
#include "sim/machine/processes.h"

namespace tplab {

namespace {

std::string name_of_run(const RunResult& run) {
  return fmt::format("{}{}, {}", run.mesh.text(), run.mesh.uneven ? ", uneven" : "",
                     name(run.dtype));
}

uint64_t hash_of_batches(const std::vector<TrainingBatch>& batches) {
  std::vector<int32_t> all;
  for (const TrainingBatch& batch : batches) {
    all.insert(all.end(), batch.tokens.ids.begin(), batch.tokens.ids.end());
    all.insert(all.end(), batch.targets.begin(), batch.targets.end());
  }
  return hash_of_bits(bytes_of(std::span<const int32_t>(all)));
}

}  // namespace

Tracing::Tracing(const WeightSource& source, const VerifyOptions& options, const Report& report)
    : path_(options.trace.against) {
  if (!options.trace.on()) return;
  if (!options.trace.against.empty()) theirs_ = read_trace(*open_file(path_));
  ours_.of = {.source = source.description(),
              .weights = hash_of_weights(source),
              .tokens = hash_of_batches(options.batches),
              .seed = options.trace.seed,
              .backward = options.backward,
              .steps = report.steps,
              .batch = report.batch,
              .seq = report.length,
              .algorithm = std::string(name(options.algorithm)),
              .device = options.device,
              .comm = options.comm,
              .build = build_text()};
  for (const RunResult& run : report.runs) ours_.runs.push_back({name_of_run(run), {}});
  if (theirs_) {
    require_same_question(path_, theirs_->of, ours_.of);
    require_runs(path_, *theirs_, ours_.runs);
  }
  // One file, whatever the number of processes: they have all the same to write.
  if (!options.trace.to.empty() && is_first_process()) writer_.emplace(options.trace.to);
}

void Tracing::finish(Report& report) {
  for (size_t i = 0; i < ours_.runs.size(); ++i)
    ours_.runs[i].ranks = std::exchange(report.runs[i].trace, {});
  if (theirs_) report.trace = compare_traces(path_, *theirs_, ours_);
  if (writer_) writer_->commit(ours_);
}

}  // namespace tplab
