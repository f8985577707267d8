// The figures of compare_picture.h: two counted, two by formula.
#include <fmt/format.h>

#include <algorithm>

#include "model/plan/training_memory.h"
#include "sim/algorithms/table.h"
#include "sim/error.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"
#include "viz/pictures/compare_picture.h"
#include "viz/recording/step_on_meta.h"

namespace tplab {

namespace {

// What one rank does in a step, by Phase.
using RankPhases = std::array<SchemePhase, 3>;

SchemePhase& phase_of(RankPhases& rank, Phase phase) { return rank[static_cast<size_t>(phase)]; }

int64_t wire_bytes(const RankPhases& rank) {
  return rank[0].wire_bytes + rank[1].wire_bytes + rank[2].wire_bytes;
}

// The rank that sends most; of several, the first.
RankPhases busiest(const std::vector<RankPhases>& ranks) {
  return *std::max_element(
      ranks.begin(), ranks.end(),
      [](const RankPhases& a, const RankPhases& b) { return wire_bytes(a) < wire_bytes(b); });
}

// A collective, made `times` times by `ranks` of a scheme.
struct Call {
  Phase phase;
  Op op;
  int64_t elements, times = 1;
};

// Adds a call of these ranks to what each of them does.
void add(std::vector<RankPhases*> ranks, const Call& call, Algorithm algorithm, DType dtype) {
  const int n = static_cast<int>(ranks.size());
  for (int r = 0; r < n; ++r) {
    SchemePhase& phase = phase_of(*ranks[static_cast<size_t>(r)], call.phase);
    phase.sync_points += call.times;
    phase.wire_bytes +=
        call.times * predicted_wire_bytes(call.op, algorithm, r, n, call.elements, dtype);
  }
}

std::vector<RankPhases*> all_of(std::vector<RankPhases>& ranks) {
  std::vector<RankPhases*> all;
  all.reserve(ranks.size());
  for (RankPhases& rank : ranks) all.push_back(&rank);
  return all;
}

// The norm of all gradients: an f64, as in model/training.
constexpr Call kNorm{Phase::optimizer, Op::all_reduce, 1};

Scheme refused(std::string name, const std::string& why) {
  return {.name = std::move(name), .refused = why};
}

// What each rank's ledger has, and the most of any.
Scheme counted(const std::string& name, const WeightSource& source, StepOptions options, bool sp) {
  options.parallelism.sp = sp;
  options.parallelism.regather = sp && options.parallelism.regather;
  Scheme scheme{.name = name, .counted = true};
  try {
    complete(options, source.architecture());
    const StepOnMeta run = step_on_meta(source, options);
    check_same_plan(options.plan(source.architecture()), run);
    std::vector<RankPhases> ranks;
    for (const RankRecord& rank : run.records) {
      ranks.emplace_back();
      for (const Event& e : rank.ledger.events()) {
        SchemePhase& phase = phase_of(ranks.back(), e.phase);
        ++phase.sync_points;
        phase.wire_bytes += e.wire_bytes;
      }
    }
    scheme.phases = busiest(ranks);
    scheme.activation_bytes = training_memory(source.architecture(), options.trainer(),
                                              options.micro_batch(), options.seq)
                                  .activations;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    return refused(name, error.problem());
  }
  return scheme;
}

template <class Compute>
Scheme computed(const std::string& name, Compute compute) {
  try {
    return compute();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) throw;
    return refused(name, error.problem());
  }
}

}  // namespace

int64_t Scheme::sync_points() const {
  int64_t sum = 0;
  for (const SchemePhase& phase : phases) sum += phase.sync_points;
  return sum;
}

int64_t Scheme::wire_bytes() const {
  int64_t sum = 0;
  for (const SchemePhase& phase : phases) sum += phase.wire_bytes;
  return sum;
}

Scheme pipeline_scheme(const Architecture& c, const StepOptions& options) {
  const int n = options.parallelism.tp;
  if (c.layers() % n != 0)
    fail(fmt::format("{} layers do not divide into {} stages", c.layers(), n), "use another --tp");
  const int64_t m = options.parallelism.accumulation;
  const DType dtype = options.dtype;
  const int64_t message = options.micro_batch() * options.seq * c.width * size_bytes(dtype);
  const Algorithm algorithm = options.algorithm;
  std::vector<RankPhases> stages(static_cast<size_t>(n));
  if (n > 1) {
    for (size_t s = 0; s < stages.size(); ++s) {
      const bool first = s == 0, last = s + 1 == stages.size();
      phase_of(stages[s], Phase::forward) = {first ? 0 : m, last ? 0 : m * message};
      phase_of(stages[s], Phase::backward) = {last ? 0 : m, first ? 0 : m * message};
    }
    if (c.tied_head)
      add({&stages.front(), &stages.back()},
          {Phase::backward, Op::all_reduce, c.vocabulary * c.width}, algorithm, accumulator(dtype));
    add(all_of(stages), kNorm, algorithm, DType::f64);
  }
  Scheme scheme{.name = "pipeline", .phases = busiest(stages)};
  Architecture stage = c;
  stage.blocks.resize(static_cast<size_t>(c.layers() / n));
  const TrainerOptions trainer{
      .dtype = dtype,
      .parallelism = {.recompute = options.parallelism.recompute, .accumulation = m}};
  // Of the last stage, which has the logits too; a stage keeps what all micro-batches left.
  scheme.activation_bytes =
      m * training_memory(stage, trainer, options.micro_batch(), options.seq).activations;
  scheme.note = fmt::format("idle {:.0f} % of the time, waiting for other stages",
                            100.0 * (n - 1) / static_cast<double>(m + n - 1));
  if (n > 1 && c.tied_head)
    scheme.note +=
        fmt::format("; the first and the last stage add up the tied matrix' gradient, {}",
                    bytes_text(c.vocabulary * c.width * size_bytes(accumulator(dtype))));
  return scheme;
}

Scheme naive_scheme(const Architecture& c, const StepOptions& options) {
  const int n = options.parallelism.tp;
  for (const auto& [what, size] :
       {std::pair{"width", c.width}, {"MLP's width", first_mlp(c).width}})
    if (size % n != 0)
      fail(fmt::format("the {} {} does not divide by {}", what, size, n), "use another --tp");
  Scheme scheme{.name = "naive"};
  if (n == 1) return scheme;
  const int64_t m = options.parallelism.accumulation;
  const int64_t tokens = options.micro_batch() * options.seq;
  const int64_t multiple = int64_t{64} * n;  // as ShardPlan pads
  const int64_t padded_vocab = (c.vocabulary + multiple - 1) / multiple * multiple;
  std::vector<RankPhases> ranks(static_cast<size_t>(n));
  const auto call = [&](Phase phase, Op op, int64_t elements, int64_t times) {
    add(all_of(ranks), {phase, op, elements, times}, options.algorithm, options.dtype);
  };
  using enum Phase;
  for (const int64_t features : {3 * c.width, c.width, first_mlp(c).width, c.width}) {
    call(forward, Op::all_gather, tokens * features, m * c.layers());
    call(backward, Op::reduce_scatter, tokens * features, m * c.layers());
    if (options.parallelism.recompute)
      call(backward, Op::all_gather, tokens * features, m * c.layers());
  }
  call(forward, Op::all_reduce, tokens * c.width, m);
  call(forward, Op::all_gather, tokens * padded_vocab, m);
  call(backward, Op::all_reduce, tokens * c.width, m);
  add(all_of(ranks),
      {backward, Op::all_reduce, (2 * c.layers() + 1) * (c.final_norm.bias ? 2 : 1) * c.width},
      options.algorithm, accumulator(options.dtype));
  add(all_of(ranks), kNorm, options.algorithm, DType::f64);
  scheme.phases = busiest(ranks);
  scheme.note = "every rank keeps the gathered activations whole";
  return scheme;
}

Comparison compare_schemes(const WeightSource& source, StepOptions options, std::string model) {
  const Architecture& architecture = source.architecture();
  // What fits no scheme is refused here: at tp 1 nothing is split.
  StepOptions whole = options;
  whole.parallelism.tp = 1;
  whole.parallelism.sp = whole.parallelism.regather = false;
  complete(whole, architecture);
  options.batch = whole.batch;
  options.seq = whole.seq;
  const int ranks = options.parallelism.tp;
  check_world({.tp = ranks});
  Comparison comparison{
      .model = std::move(model), .step = describe(whole), .ranks = ranks, .schemes = {}};
  comparison.step = fmt::format("training step on {} ranks{}", ranks,
                                comparison.step.substr(comparison.step.find(", dp 1") + 6));
  comparison.schemes = {
      counted("TP", source, options, false), counted("TP + SP", source, options, true),
      computed("pipeline", [&] { return pipeline_scheme(architecture, options); }),
      computed("naive", [&] { return naive_scheme(architecture, options); })};
  return comparison;
}

}  // namespace tplab
