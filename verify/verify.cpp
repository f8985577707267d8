#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/generate.h"
#include "model/gpt.h"
#include "sim/error.h"
#include "sim/measure.h"
#include "sim/ops.h"
#include "verify/capture.h"
#include "verify/compare.h"
#include "verify/predict.h"
#include "verify/truth.h"

namespace tplab {

namespace {

constexpr int64_t kDecodeSteps = 4;

// What one run left for the comparison.
struct Trace {
  std::vector<CapturedSite> sites;
  std::vector<double> losses;  // of each rank
  CapturedSite decode;         // logits of the last positions, [B, steps + 1, V]
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
std::vector<double> decode_with_cache(const Gpt& gpt, const Tokens& tokens, int64_t steps) {
  const int64_t B = tokens.batch, V = gpt.config().vocab_size, n = steps + 1;
  std::vector<double> all(static_cast<size_t>(B * n * V));  // [B, n, V]
  std::vector<double> logits(static_cast<size_t>(B * V));   // [B, 1, V]
  KvCache cache = gpt.new_cache(B);
  for (int64_t step = 0; step < n; ++step) {
    const int64_t past = cache.length();
    const int64_t fresh = step == 0 ? tokens.length - steps : 1;
    to_host(gpt.next(columns(tokens, past, fresh), cache), logits);
    for (int64_t b = 0; b < B; ++b)
      std::copy_n(logits.begin() + b * V, V, all.begin() + (b * n + step) * V);
  }
  return all;
}

int64_t decode_steps(const Tokens& tokens) { return std::min(kDecodeSteps, tokens.length - 1); }

Trace run_model(const WeightSource& source, const VerifyOptions& options, RunResult& run) {
  ShardPlan plan(source.config(), run.tp);
  if (options.edit_plan) options.edit_plan(plan);
  const auto ranks = static_cast<size_t>(run.tp);
  const int64_t steps = decode_steps(options.tokens);
  const int64_t B = options.tokens.batch, V = source.config().vocab_size;
  Trace trace;
  trace.losses.resize(ranks);
  trace.decode = {"decode/logits", "replicated", 1, {}, {{B, steps + 1, V}}};
  trace.decode.per_rank.resize(ranks);
  run.forward.resize(ranks);
  const bool greedy =
      options.golden && !options.golden->greedy_new.empty() && run.dtype == DType::f64;

  Capture capture(run.tp);
  World world({.tp = run.tp,
               .device = options.device,
               .comm = options.comm,
               .algorithm = options.algorithm,
               .observer = capture.observer(),
               .make_comm = options.make_comm});
  run.ranks = world.run([&](Rank& rank) {
    const auto r = static_cast<size_t>(rank.index());
    const Gpt gpt(rank, options.model_weights ? *options.model_weights : source, plan, run.dtype);
    const Tensor<Replicated> logits = gpt.forward(options.tokens);
    capture.stop(rank.index());
    run.forward[r] = rank.ledger().events();
    if (!options.targets.empty()) trace.losses[r] = cross_entropy(logits, options.targets);
    trace.decode.per_rank[r] = decode_with_cache(gpt, options.tokens, steps);
    if (!greedy) return;
    const auto n = static_cast<int64_t>(options.golden->greedy_new.size());
    std::vector<int32_t> tokens =
        generate(gpt, options.golden->greedy_prompt, n, {.temperature = 0});
    if (r == 0) trace.greedy = std::move(tokens);
  });
  trace.sites = capture.sites();
  return trace;
}

bool within(const Difference& d, const Bound& bound) {
  return d.rms_rel <= bound.rms && d.max_abs <= bound.max_abs;  // false for NaN
}

SiteResult judge(const CapturedSite& site, const Activation& expected, const Bound& bound) {
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
  if (!site.ends_with("/proj") || !source.config().bias) return {};
  const size_t slash = site.find('/');
  return whole_parameters(source)(fmt::format("transformer.h.{}.{}.c_proj.bias",
                                              site.substr(6, slash - 6),
                                              site.substr(slash + 1, site.size() - slash - 6)));
}

Finding explain(const WeightSource& source, const CapturedSite& site, const Activation& expected,
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
    const Activation* expected = truth.find(site.site);
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
  if (!truth.loss()) return;
  run.loss = trace.losses[0];
  run.reference_loss = truth.loss();
  run.loss_bound = truth.loss_bound(run.dtype);
  for (double loss : trace.losses) {
    run.loss_error = std::abs(loss - *truth.loss());
    if (run.loss_error <= run.loss_bound && loss == trace.losses[0]) continue;
    if (!run.finding)
      run.finding = {"loss", fmt::format("{} where {} was expected", loss, *truth.loss()),
                     "the logits agree, so the loss itself is computed wrongly"};
    return;
  }
}

void compare_decode(const WeightSource& source, const Truth& truth, const Tokens& tokens,
                    const Trace& trace, RunResult& run) {
  const Activation& logits = *truth.find("head/logits");  // [B, T, V]
  const int64_t n = decode_steps(tokens) + 1, V = logits.shape[2], T = tokens.length;
  Activation last{"decode/logits", {tokens.batch, n, V}, {}};
  for (int64_t b = 0; b < tokens.batch; ++b) {
    const auto begin = logits.values.begin() + (b * T + T - n) * V;
    last.values.insert(last.values.end(), begin, begin + n * V);
  }
  run.decode = judge(trace.decode, last, truth.bound("head/logits", run.dtype));
  if (!run.decode.good && !run.finding)
    run.finding = explain(source, trace.decode, last, run.decode);
}

AgainstResult judge_against(const GoldenTensor& golden, const std::vector<double>& got,
                            const std::vector<int64_t>& shape, const Truth& truth, DType dtype) {
  const Bound ours = truth.bound(golden.site, dtype),
              theirs = truth.bound(golden.site, golden.dtype);
  AgainstResult result{
      golden.name, golden.site, 0, 0, {ours.rms + theirs.rms, ours.max_abs + theirs.max_abs}};
  if (shape != golden.shape) {
    result.rms = result.max_abs = std::nan("");
    result.difference = fmt::format("its shape is {}, and the model's {}",
                                    show_position(golden.shape), show_position(shape));
    return result;
  }
  const Difference d = compare(got, golden.values, shape, result.bound.max_abs);
  result.rms = d.rms_rel;
  result.max_abs = d.max_abs;
  result.difference = d.describe();
  result.good = within(d, result.bound);
  return result;
}

void compare_golden(const Golden& golden, const Truth& truth, const Trace& trace, RunResult& run) {
  for (const GoldenTensor& tensor : golden.tensors) {
    const auto site = std::find_if(trace.sites.begin(), trace.sites.end(),
                                   [&](const CapturedSite& s) { return s.site == tensor.site; });
    if (site == trace.sites.end()) continue;
    run.against.push_back(judge_against(tensor, site->whole(), site->shape(), truth, run.dtype));
    if (!run.against.back().good && !run.finding)
      run.finding = {
          tensor.site,
          fmt::format("'{}' in the golden file: {}", tensor.name, run.against.back().difference),
          "the reference agrees with the model here, so the golden file is of other "
          "weights, other tokens or another formula"};
  }
  if (golden.loss && run.loss) {
    const double bound = run.loss_bound + truth.loss_bound(golden.loss_dtype);
    const double error = std::abs(*run.loss - *golden.loss);
    run.against.push_back({"loss",
                           "loss",
                           error / std::abs(*golden.loss),
                           error,
                           {bound / std::abs(*golden.loss), bound},
                           error <= bound});
    if (!run.against.back().good && !run.finding)
      run.finding = {"loss",
                     fmt::format("{} where the golden file has {}", *run.loss, *golden.loss),
                     "the golden file's targets or averaging differ"};
  }
  if (!golden.greedy_new.empty() && run.dtype == DType::f64) {
    run.greedy_tokens = static_cast<int64_t>(golden.greedy_new.size());
    run.greedy_good = trace.greedy == golden.greedy_new;
    if (!*run.greedy_good && !run.finding)
      run.finding = {"greedy", "generated tokens differ from the golden file's",
                     "the logits agree, so look at the cache, the cropping or the sampling"};
  }
}

void check_counts(const ShardPlan& plan, const VerifyOptions& options, RunResult& run) {
  for (int rank = 0; rank < run.tp && run.disagreement.empty(); ++rank) {
    const std::string difference =
        first_disagreement(predict_forward(plan, options.tokens.batch, options.tokens.length,
                                           run.dtype, options.algorithm, rank),
                           run.forward[static_cast<size_t>(rank)]);
    if (!difference.empty()) run.disagreement = fmt::format("rank {}, {}", rank, difference);
  }
  if (!run.disagreement.empty() && !run.finding)
    run.finding = {"ledger", run.disagreement, "a collective was added, dropped or resized"};
}

void compare_reference(const Golden& golden, const Truth& truth, Report& report) {
  for (const GoldenTensor& tensor : golden.tensors) {
    const Activation* ours = truth.find(tensor.site);
    if (!ours) {
      report.not_compared.push_back(tensor.name);
      continue;
    }
    report.reference_against.push_back(
        judge_against(tensor, ours->values, ours->shape, truth, DType::f64));
  }
}

}  // namespace

void check_memory(const GptConfig& c, int64_t batch, int64_t length, const std::vector<int>& tps) {
  if (tps.empty()) fail("there is no tp to verify", "give at least one");
  const int most_ranks = *std::max_element(tps.begin(), tps.end());
  const int64_t layer = 13 * c.n_embd + 2 * c.n_inner + 2 * c.n_head * length;
  const auto values = static_cast<double>(c.n_layer * layer + 3 * c.n_embd + c.vocab_size);
  const double tokens = static_cast<double>(batch) * static_cast<double>(length);
  require_memory(fmt::format("verifying {} x {} tokens at tp {}", batch, length, most_ranks),
                 8 * tokens * values * (1 + most_ranks),
                 "use fewer or shorter sequences: --batch, --seq");
}

bool Report::good() const {
  return std::all_of(runs.begin(), runs.end(), [](const RunResult& run) { return run.good(); }) &&
         std::all_of(reference_against.begin(), reference_against.end(),
                     [](const AgainstResult& a) { return a.good; });
}

Report verify(const WeightSource& source, const VerifyOptions& options) {
  // Refuse what cannot work before computing anything.
  std::vector<ShardPlan> plans;
  for (int tp : options.tps) plans.emplace_back(source.config(), tp);

  check_memory(source.config(), options.tokens.batch, options.tokens.length, options.tps);
  const double stages = 1 + static_cast<double>((plans.size() + 1) * options.dtypes.size());
  double done = 0;
  const auto progress = [&](const std::string& what) {
    if (options.progress) options.progress(what, done++ / stages);
  };
  const Truth truth(source, options.tokens, options.targets, options.dtypes, progress);
  Report report{source.config(),
                source.description(),
                options.tokens.batch,
                options.tokens.length,
                options.algorithm,
                {},
                {},
                {}};
  if (options.golden) compare_reference(*options.golden, truth, report);

  for (DType dtype : options.dtypes) {
    for (const ShardPlan& plan : plans) {
      progress(fmt::format("tp {}, {}", plan.tp(), name(dtype)));
      RunResult& run = report.runs.emplace_back();
      run.tp = plan.tp();
      run.dtype = dtype;
      const Trace trace = run_model(source, options, run);
      compare_sites(source, truth, trace, run);
      compare_loss(truth, trace, run);
      compare_decode(source, truth, options.tokens, trace, run);
      if (options.golden) compare_golden(*options.golden, truth, trace, run);
      check_counts(plan, options, run);
    }
  }
  return report;
}

}  // namespace tplab
