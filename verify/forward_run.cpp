#include "verify/forward_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "model/generate.h"
#include "model/network.h"
#include "sim/ops.h"
#include "verify/against.h"
#include "verify/capture.h"
#include "verify/judge.h"
#include "verify/predict.h"
#include "verify/trace_recorder.h"

namespace tplab {

namespace {

constexpr int64_t kDecodeSteps = 4;

// What one run left for the comparison.
struct PassResults {
  std::vector<CapturedSite> sites;
  std::vector<double> losses;  // of each rank
  CapturedSite decode;         // logits of the last positions, [B, steps + 1, V]
  std::vector<int32_t> greedy;
};

// One rank's part of it.
struct RankResults {
  std::vector<ShownSite> shown;
  std::vector<Event> forward;
  double loss = 0;
  std::vector<double> decode;
  std::vector<int32_t> greedy;
  std::vector<TraceEntry> did;
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
PassResults run_model(const WeightSource& source, const VerifyOptions& options, RunResult& run,
                      const std::function<void(const std::string&)>& tell) {
  ShardPlan plan(source.architecture(), run.mesh.tp, run.mesh.uneven);
  if (options.breakage.plan) options.breakage.plan(plan);
  const TrainingBatch& batch = options.batches[0];
  const int64_t steps = decode_steps(batch.tokens);
  const int64_t B = batch.tokens.batch, V = source.architecture().vocabulary;
  const bool greedy =
      options.golden && !options.golden->greedy_new.empty() && run.dtype == DType::f64;

  Capture capture({.tp = run.mesh.tp});
  TraceRecorders trace_of(options.trace.on(), run.mesh.mesh(), capture.recorders());
  World world({.tp = run.mesh.tp,
               .device = options.device,
               .comm = options.comm,
               .algorithm = options.algorithm,
               .timeout_s = options.timeout_s,
               .recorders = trace_of.recorders(),
               .comm_breakage = options.breakage.comm});
  auto [results, records] = world.run([&](Rank& rank) {
    RankResults result;
    const Network network(rank, options.breakage.weights ? *options.breakage.weights : source, plan,
                          run.dtype);
    const Tensor<Replicated> logits = network.forward(batch.tokens);
    result.shown = capture.take(rank);
    result.forward = rank.ledger().events();
    if (!batch.targets.empty()) {
      const auto targets = ids_on_device(rank, batch.targets, batch.tokens.shape());
      const Array loss = cross_entropy(logits, targets).array();
      trace_of.result(rank, "loss", loss);
      result.loss = number_on_host(rank.device(), loss);
    }
    result.decode = decode_with_cache(network, batch.tokens, steps);
    trace_of.result(rank, "decode/logits", result.decode);
    const int64_t n = greedy ? std::ssize(options.golden->greedy_new) : 0;
    const auto on_token = [&, done = int64_t{0}](int32_t) mutable {
      if (rank.index() == 0)
        tell(fmt::format("tp {}, greedy token {} of {}", run.mesh.tp, ++done, n));
      return true;
    };
    if (greedy)
      result.greedy =
          generate(network, options.golden->greedy_prompt, n, {.temperature = 0}, on_token);
    result.did = trace_of.take(rank);
    return result;
  });
  run.ranks = std::move(records);
  std::vector<std::vector<ShownSite>> shown;
  shown.reserve(results.size());
  for (RankResults& result : results) shown.push_back(std::move(result.shown));
  PassResults pass{.sites = captured_sites(run.mesh.tp, std::move(shown)),
                   .losses = {},
                   .decode = {"decode/logits", "replicated", 1, {}, {{B, steps + 1, V}}},
                   .greedy = std::move(results[0].greedy)};
  for (RankResults& result : results) {
    pass.losses.push_back(result.loss);
    pass.decode.per_rank.push_back(std::move(result.decode));
    run.events.push_back(std::move(result.forward));
    if (options.trace.on()) run.trace.push_back(std::move(result.did));
  }
  return pass;
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

// A site as the ranks showed it. REQUIRES: source and site outlive it.
Made made_of(const WeightSource& source, const CapturedSite& site) {
  return {.name = site.site,
          .values = site.whole(),
          .replicas_identical = site.replicas_identical(),
          .placement = site.placement,
          .shape = site.shape(),
          .evidence = [&source, &site, bias = std::vector<double>()](Evidence& evidence) mutable {
            bias = bias_at(source, site.site);
            evidence.bias = bias;
            if (site.is_replicated())
              for (const auto& copy : site.per_rank) evidence.replicas.emplace_back(copy);
          }};
}

// Compares every site that the ranks showed.
void compare_sites(const WeightSource& source, const PassResults& pass, const Judge& judge) {
  for (const CapturedSite& site : pass.sites) {
    const Expected* expected = judge.truth().find(site.site);
    if (!expected || expected->shape != site.shape() ||
        std::ssize(site.per_rank) != judge.run().mesh.tp) {
      judge.run().finding = {
          site.site, "the reference has no such tensor, or of another shape",
          "model/ and verify/reference/reference.cpp disagree about what is computed here"};
      return;
    }
    judge(made_of(source, site));
  }
}

void compare_loss(const Truth& truth, const PassResults& pass, RunResult& run) {
  const Expected* expected = truth.find("loss");
  if (!expected) return;
  run.loss = pass.losses[0];
  run.reference_loss = expected->values[0];
  run.loss_bound = truth.bound("loss", run.dtype).max_abs;
  for (double loss : pass.losses) {
    run.loss_error = std::abs(loss - *run.reference_loss);
    if (run.loss_error <= run.loss_bound && loss == pass.losses[0]) continue;
    if (!run.finding)
      run.finding = {"loss", fmt::format("{} where {} was expected", loss, *run.reference_loss),
                     "the logits agree, so the loss itself is computed wrongly"};
    return;
  }
}

// Ours of a site or loss, where there is such a thing: its numbers and shape.
using Lookup = std::function<std::optional<Activation>(const std::string& site)>;

std::vector<AgainstResult> compare_each(const Golden& golden, const Truth& truth, DType dtype,
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

// Greedy tokens against the golden file's. Where they part, the reference says who is right; or
// that its two logits are nearer than f32 tells apart, so that either may be, and the rest goes
// unjudged.
void compare_greedy(const WeightSource& source, const Golden& golden, const Truth& truth,
                    const PassResults& pass, RunResult& run) {
  const auto [mine, theirs] = std::mismatch(pass.greedy.begin(), pass.greedy.end(),
                                            golden.greedy_new.begin(), golden.greedy_new.end());
  run.greedy_tokens = mine - pass.greedy.begin();
  run.greedy_good = mine == pass.greedy.end() && theirs == golden.greedy_new.end();
  if (*run.greedy_good || mine == pass.greedy.end() || theirs == golden.greedy_new.end()) return;

  std::vector<int> context(golden.greedy_prompt.begin(), golden.greedy_prompt.end());
  context.insert(context.end(), pass.greedy.begin(), mine);
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

void compare_run(const Golden& golden, const Truth& truth, const PassResults& pass,
                 RunResult& run) {
  run.against = compare_each(golden, truth, run.dtype,
                             [&](const std::string& name) -> std::optional<Activation> {
                               if (name == "loss") return loss_as_activation(run.loss);
                               for (const CapturedSite& site : pass.sites)
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

}  // namespace

void add_decode(Truth& truth, const Tokens& tokens) {
  const Expected logits = *truth.find("head/logits");  // [B, T, V]
  const int64_t n = decode_steps(tokens) + 1, V = logits.shape[2], T = tokens.length;
  std::vector<double> last;
  for (int64_t b = 0; b < tokens.batch; ++b) {
    const auto begin = logits.values.begin() + (b * T + T - n) * V;
    last.insert(last.end(), begin, begin + n * V);
  }
  truth.add("decode/logits", {tokens.batch, n, V}, std::move(last));
  for (const auto& [dtype, bound] : logits.bounds) truth.set_bound("decode/logits", dtype, bound);
}

std::vector<AgainstResult> compare_reference(const Golden& golden, const Truth& truth) {
  return compare_each(golden, truth, DType::f64,
                      [&](const std::string& site) -> std::optional<Activation> {
                        const Expected* found = truth.find(site);
                        if (!found) return {};
                        return Activation{site, found->shape, found->values};
                      });
}

void run_forward(const WeightSource& source, const VerifyOptions& options, const Truth& truth,
                 RunResult& run, const std::function<void(const std::string&)>& tell) {
  const Judge judge(truth, nullptr, run);
  const PassResults pass = run_model(source, options, run, tell);
  compare_sites(source, pass, judge);
  compare_loss(truth, pass, run);
  const Made decoded = made_of(source, pass.decode);
  run.decode = judge.compare(decoded).result;
  if (!run.decode.good && !run.finding) run.finding = judge.explain(decoded);
  if (options.golden) {
    compare_run(*options.golden, truth, pass, run);
    if (!pass.greedy.empty()) compare_greedy(source, *options.golden, truth, pass, run);
  }
  const ShardPlan plan(source.architecture(), run.mesh.tp, run.mesh.uneven);
  const Tokens& tokens = options.batches[0].tokens;
  const StepShape shape{.batch = tokens.batch,
                        .length = tokens.length,
                        .dtype = run.dtype,
                        .algorithm = options.algorithm};
  judge.counts([&](int rank) { return predict_forward(plan, shape, rank); });
}

}  // namespace tplab
