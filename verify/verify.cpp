#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/finite.h"
#include "model/generate.h"
#include "model/network.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "sim/ops.h"
#include "verify/against.h"
#include "verify/capture.h"
#include "verify/compare.h"
#include "verify/predict.h"
#include "verify/truth.h"

namespace tplab {

bool within(const Difference& d, const Bound& bound, double times) {
  return std::isfinite(d.max_abs) && d.max_abs <= times * bound.max_abs &&
         d.rms_rel <= times * bound.rms;
}

namespace {

constexpr int64_t kDecodeSteps = 4;

// What one run left for the comparison.
struct Trace {
  std::vector<CapturedSite> sites;
  std::vector<double> losses;  // of each rank
  CapturedSite decode;         // logits of the last positions, [B, steps + 1, V]
  std::vector<int32_t> greedy;
};

// One rank's part of it.
struct RankTrace {
  std::vector<Event> forward;
  double loss = 0;
  std::vector<double> decode;
  std::vector<int32_t> greedy;
};

// Tokens begin .. begin + length - 1 of every row.
Tokens columns(const Tokens& tokens, int64_t begin, int64_t length) {
  Tokens part{tokens.batch, length, {}};
  for (int64_t b = 0; b < tokens.batch; ++b) {
    const auto row = tokens.ids.begin() + b * tokens.length + begin;
    part.ids.insert(part.ids.end(), row, row + length);
  }
  return part;
}

// The logits of the last positions, got one token at a time from a cache.
std::vector<double> decode_with_cache(const Network& network, const Tokens& tokens, int64_t steps) {
  const int64_t B = tokens.batch, V = network.architecture().vocabulary, n = steps + 1;
  std::vector<double> all(static_cast<size_t>(B * n * V));  // [B, n, V]
  std::vector<double> logits(static_cast<size_t>(B * V));   // [B, 1, V]
  KvCache cache = network.new_cache(B);
  for (int64_t step = 0; step < n; ++step) {
    const int64_t past = cache.length();
    const int64_t fresh = step == 0 ? tokens.length - steps : 1;
    to_host(network.next(columns(tokens, past, fresh), cache), logits);
    for (int64_t b = 0; b < B; ++b)
      std::copy_n(logits.begin() + b * V, V, all.begin() + (b * n + step) * V);
  }
  return all;
}

int64_t decode_steps(const Tokens& tokens) { return std::min(kDecodeSteps, tokens.length - 1); }

// tell: what is being done.
Trace run_model(const WeightSource& source, const VerifyOptions& options, RunResult& run,
                const std::function<void(const std::string&)>& tell) {
  ShardPlan plan(source.architecture(), run.tp, options.uneven);
  if (options.edit_plan) options.edit_plan(plan);
  const int64_t steps = decode_steps(options.tokens);
  const int64_t B = options.tokens.batch, V = source.architecture().vocabulary;
  const bool greedy =
      options.golden && !options.golden->greedy_new.empty() && run.dtype == DType::f64;

  Capture capture(run.tp);
  World world({.tp = run.tp,
               .device = options.device,
               .comm = options.comm,
               .algorithm = options.algorithm,
               .observer = capture.observer(),
               .comm_breakage = options.comm_breakage});
  auto [results, records] = world.run([&](Rank& rank) {
    RankTrace result;
    const Network network(rank, options.model_weights ? *options.model_weights : source, plan,
                          run.dtype);
    const Tensor<Replicated> logits = network.forward(options.tokens);
    capture.stop(rank.index());
    result.forward = rank.ledger().events();
    if (!options.targets.empty()) result.loss = cross_entropy(logits, options.targets);
    result.decode = decode_with_cache(network, options.tokens, steps);
    if (!greedy) return result;
    const int64_t n = std::ssize(options.golden->greedy_new);
    const auto on_token = [&, done = int64_t{0}](int32_t) mutable {
      if (rank.index() == 0) tell(fmt::format("tp {}, greedy token {} of {}", run.tp, ++done, n));
      return true;
    };
    result.greedy =
        generate(network, options.golden->greedy_prompt, n, {.temperature = 0}, on_token);
    return result;
  });
  run.ranks = std::move(records);
  Trace trace{.sites = capture.sites(),
              .losses = {},
              .decode = {"decode/logits", "replicated", 1, {}, {{B, steps + 1, V}}},
              .greedy = std::move(results[0].greedy)};
  for (RankTrace& result : results) {
    trace.losses.push_back(result.loss);
    trace.decode.per_rank.push_back(std::move(result.decode));
    run.forward.push_back(std::move(result.forward));
  }
  return trace;
}

bool has(const std::vector<DType>& dtypes, DType dtype) {
  return std::find(dtypes.begin(), dtypes.end(), dtype) != dtypes.end();
}

SiteResult judge(const CapturedSite& site, const Expected& expected, const Bound& bound) {
  SiteResult result{site.site, site.placement, 0, 0, bound};
  const std::vector<double> got = site.whole();
  const Difference d = compare(got, expected.values, expected.shape, bound.max_abs);
  result.rms = d.rms_rel;
  result.max_abs = d.max_abs;
  result.replicas_identical = site.replicas_identical();
  result.good = within(d, bound) && result.replicas_identical;
  return result;
}

// The bias that a row-parallel product adds at "block 3/attn/proj", or nothing.
std::vector<double> bias_at(const WeightSource& source, const std::string& site) {
  for (const NamedTensor& tensor : named_tensors(source.architecture())) {
    const bool is_attention = tensor.id.role == Role::attention_out;
    if (!tensor.id.bias || !(is_attention || tensor.id.role == Role::down)) continue;
    if (site == fmt::format("block {}/{}/proj", tensor.id.at.block, is_attention ? "attn" : "mlp"))
      return whole_parameters(source)(tensor.name);
  }
  return {};
}

Finding explain(const WeightSource& source, const CapturedSite& site, const Expected& expected,
                const SiteResult& result) {
  const std::vector<double> got = site.whole(), bias = bias_at(source, site.site);
  Evidence evidence{.got = got,
                    .expected = expected.values,
                    .shape = expected.shape,
                    .tp = static_cast<int64_t>(site.per_rank.size()),
                    .bound = result.bound.max_abs,
                    .bias = bias};
  if (site.is_replicated())
    for (const auto& copy : site.per_rank) evidence.replicas.emplace_back(copy);
  const Difference d = compare(got, expected.values, expected.shape, result.bound.max_abs);
  return {site.site, d.describe(), guess_cause(evidence)};
}

// Compares every watched site; the first wrong one becomes the run's finding.
void compare_sites(const WeightSource& source, const Truth& truth, const Trace& trace,
                   RunResult& run) {
  for (const CapturedSite& site : trace.sites) {
    const Expected* expected = truth.find(site.site);
    if (!expected || expected->shape != site.shape() ||
        static_cast<int>(site.per_rank.size()) != run.tp) {
      run.finding = {site.site, "the reference has no such tensor, or of another shape",
                     "model/ and verify/reference.cpp disagree about what is computed here"};
      return;
    }
    run.sites.push_back(judge(site, *expected, truth.bound(site.site, run.dtype)));
    if (!run.sites.back().good && !run.finding)
      run.finding = explain(source, site, *expected, run.sites.back());
  }
}

void compare_loss(const Truth& truth, const Trace& trace, RunResult& run) {
  const Expected* expected = truth.find("loss");
  if (!expected) return;
  run.loss = trace.losses[0];
  run.reference_loss = expected->values[0];
  run.loss_bound = truth.bound("loss", run.dtype).max_abs;
  for (double loss : trace.losses) {
    run.loss_error = std::abs(loss - *run.reference_loss);
    if (run.loss_error <= run.loss_bound && loss == trace.losses[0]) continue;
    if (!run.finding)
      run.finding = {"loss", fmt::format("{} where {} was expected", loss, *run.reference_loss),
                     "the logits agree, so the loss itself is computed wrongly"};
    return;
  }
}

void compare_decode(const WeightSource& source, const Truth& truth, const Tokens& tokens,
                    const Trace& trace, RunResult& run) {
  const Expected& logits = *truth.find("head/logits");  // [B, T, V]
  const int64_t n = decode_steps(tokens) + 1, V = logits.shape[2], T = tokens.length;
  Expected last{{tokens.batch, n, V}, {}};
  for (int64_t b = 0; b < tokens.batch; ++b) {
    const auto begin = logits.values.begin() + (b * T + T - n) * V;
    last.values.insert(last.values.end(), begin, begin + n * V);
  }
  run.decode = judge(trace.decode, last, truth.bound("head/logits", run.dtype));
  if (!run.decode.good && !run.finding)
    run.finding = explain(source, trace.decode, last, run.decode);
}

// Ours of a site or loss, where there is such a thing: its numbers and shape.
using Lookup = std::function<std::optional<Activation>(const std::string& site)>;

std::vector<AgainstResult> compare_golden(const Golden& golden, const Truth& truth, DType dtype,
                                          const Lookup& ours) {
  std::vector<AgainstResult> results;
  for (const GoldenTensor& tensor : golden.tensors) {
    const std::optional<Activation> got = ours(tensor.site);
    if (!got) continue;
    results.push_back(judge_against(
        tensor, got->values, got->shape, [&](DType of) { return truth.bound(tensor.site, of); },
        dtype));
  }
  return results;
}

std::optional<Activation> loss_as_activation(const std::optional<double>& loss) {
  if (!loss) return {};
  return Activation{"loss", {1}, {*loss}};
}

std::vector<AgainstResult> compare_reference(const Golden& golden, const Truth& truth) {
  return compare_golden(golden, truth, DType::f64,
                        [&](const std::string& site) -> std::optional<Activation> {
                          const Expected* found = truth.find(site);
                          if (!found) return {};
                          return Activation{site, found->shape, found->values};
                        });
}

// Greedy tokens against the golden file's. Where they part, the reference says who is right; or
// that its two logits are nearer than f32 tells apart, so that either may be, and the rest goes
// unjudged.
void compare_greedy(const WeightSource& source, const Golden& golden, const Truth& truth,
                    const Trace& trace, RunResult& run) {
  const auto [mine, theirs] = std::mismatch(trace.greedy.begin(), trace.greedy.end(),
                                            golden.greedy_new.begin(), golden.greedy_new.end());
  run.greedy_tokens = mine - trace.greedy.begin();
  run.greedy_good = mine == trace.greedy.end() && theirs == golden.greedy_new.end();
  if (*run.greedy_good || mine == trace.greedy.end() || theirs == golden.greedy_new.end()) return;

  std::vector<int> context(golden.greedy_prompt.begin(), golden.greedy_prompt.end());
  context.insert(context.end(), trace.greedy.begin(), mine);
  const auto T = std::min(std::ssize(context), source.architecture().context);
  context.erase(context.begin(), context.end() - T);
  const Weights weights = whole_parameters(source);
  const ReferenceOutput out = Reference<double>(source.architecture(), weights)
                                  .forward({.B = 1, .T = T, .tokens = std::move(context)});
  const auto last = out.logits.end() - source.architecture().vocabulary;
  const double gap = std::abs(last[*mine] - last[*theirs]);
  run.greedy_tie = gap <= 2 * truth.bound("head/logits", DType::f32).max_abs;
  if (run.greedy_tie) {
    run.greedy_good = true;
    return;
  }
  const std::string where =
      fmt::format("greedy[{}]: tplab has the token {}, the golden file {}",
                  std::ssize(golden.greedy_prompt) + run.greedy_tokens, *mine, *theirs);
  const bool is_right = last[*mine] > last[*theirs];
  if (is_right && !run.finding && !run.golden_finding)
    run.golden_finding = {"greedy", where,
                          "the golden file is of other weights, or does not take the likeliest"};
  if (!is_right && !run.finding)
    run.finding = {"greedy", where,
                   "the reference has the golden file's: look at the cache and the cropping"};
}

void compare_run(const Golden& golden, const Truth& truth, const Trace& trace, RunResult& run) {
  run.against = compare_golden(golden, truth, run.dtype,
                               [&](const std::string& name) -> std::optional<Activation> {
                                 if (name == "loss") return loss_as_activation(run.loss);
                                 for (const CapturedSite& site : trace.sites)
                                   if (site.site == name)
                                     return Activation{name, site.shape(), site.whole()};
                                 return {};
                               });
  if (run.finding) return;               // what is wrong here explains the rest
  const AgainstResult* first = nullptr;  // a NaN explains the rest
  for (const AgainstResult& a : run.against)
    if (!a.good && (!first || (std::isnan(a.rms) && !std::isnan(first->rms)))) first = &a;
  if (first) run.golden_finding = {first->tensor, first->difference, first->why};
}

// What was compared with the reference but with no run.
void add_held_by_no_rank(Report& report) {
  const std::vector<AgainstResult>& held = report.runs[0].against;
  for (const AgainstResult& a : report.reference_against)
    if (std::none_of(held.begin(), held.end(),
                     [&](const AgainstResult& other) { return other.tensor == a.tensor; }))
      report.not_compared.push_back(
          {a.tensor, "with the reference alone: no rank holds it in memory"});
}

void check_counts(const ShardPlan& plan, const VerifyOptions& options, RunResult& run) {
  for (int rank = 0; rank < run.tp && run.disagreement.empty(); ++rank) {
    const std::string difference =
        first_disagreement(predict_forward(plan,
                                           {.batch = options.tokens.batch,
                                            .length = options.tokens.length,
                                            .dtype = run.dtype,
                                            .algorithm = options.algorithm},
                                           rank),
                           run.forward[static_cast<size_t>(rank)]);
    if (!difference.empty()) run.disagreement = fmt::format("rank {}, {}", rank, difference);
  }
  if (!run.disagreement.empty() && !run.finding)
    run.finding = {"ledger", run.disagreement, "a collective was added, dropped or resized"};
}

}  // namespace

void check_memory(const Architecture& c, int64_t batch, int64_t length, const std::vector<int>& tps,
                  bool uneven) {
  if (tps.empty()) fail("there is no tp to verify", "give at least one");
  for (int tp : tps) check_shares(c, tp, uneven);  // a tp that cannot be is no matter of size
  const int most_ranks = *std::max_element(tps.begin(), tps.end());
  const double tokens = static_cast<double>(batch) * static_cast<double>(length);
  require_memory(fmt::format("verifying {} x {} tokens at tp {}", batch, length, most_ranks),
                 8 * tokens * numbers_at_sites(c, length) * (1 + most_ranks),
                 "use fewer or shorter sequences");
}

double numbers_at_sites(const Architecture& c, int64_t length) {
  const int64_t layer =
      13 * c.width + 2 * first_mlp(c).width + 2 * first_attention(c).heads * length;
  return static_cast<double>(c.layers() * layer + 3 * c.width + c.vocabulary);
}

bool Report::good() const {
  return std::all_of(runs.begin(), runs.end(), [](const RunResult& run) { return run.good(); }) &&
         std::all_of(reference_against.begin(), reference_against.end(),
                     [](const AgainstResult& a) { return a.good; });
}

Report verify(const WeightSource& source, const VerifyOptions& options) {
  // Refuse what cannot work before computing anything.
  std::vector<ShardPlan> plans;
  for (int tp : options.tps) plans.emplace_back(source.architecture(), tp, options.uneven);

  check_memory(source.architecture(), options.tokens.batch, options.tokens.length, options.tps,
               options.uneven);
  const GoldenUse use{.training = false, .f64 = has(options.dtypes, DType::f64)};
  if (options.golden) require_compared(*options.golden, use);
  require_finite(source, has(options.dtypes, DType::f32) ? DType::f32 : DType::f64);
  const double stages = 1 + static_cast<double>((plans.size() + 1) * options.dtypes.size());
  double done = 0;
  const auto tell = [&](const std::string& what) {
    if (options.progress) options.progress(what, std::min(1.0, done / stages));
  };
  const auto progress = [&](const std::string& what) {
    tell(what);
    ++done;
  };
  const Truth truth =
      forward_truth(source, options.tokens, options.targets, options.dtypes, progress);
  Report report{source.architecture(),
                source.description(),
                options.tokens.batch,
                options.tokens.length,
                options.algorithm,
                options.uneven,
                {},
                {},
                {}};
  if (options.golden) {
    report.reference_against = compare_reference(*options.golden, truth);
    report.not_compared = not_compared(*options.golden, use);
  }

  for (DType dtype : options.dtypes) {
    for (const ShardPlan& plan : plans) {
      progress(fmt::format("tp {}, {}", plan.tp(), name(dtype)));
      RunResult& run = report.runs.emplace_back();
      run.tp = plan.tp();
      run.dtype = dtype;
      const Trace trace = run_model(source, options, run, tell);
      compare_sites(source, truth, trace, run);
      compare_loss(truth, trace, run);
      compare_decode(source, truth, options.tokens, trace, run);
      if (options.golden) {
        compare_run(*options.golden, truth, trace, run);
        if (!trace.greedy.empty()) compare_greedy(source, *options.golden, truth, trace, run);
        if (report.runs.size() == 1) add_held_by_no_rank(report);
        if (run.greedy_tie && run.tp == plans[0].tp())
          report.not_compared.push_back(
              {"greedy", fmt::format("after {} new tokens two logits are nearer than f32 tells "
                                     "apart, and the golden file takes the other",
                                     run.greedy_tokens)});
      }
      check_counts(plan, options, run);
    }
  }
  return report;
}

}  // namespace tplab
