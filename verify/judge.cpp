#include "verify/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "verify/against.h"

namespace tplab {

bool within(const Difference& d, const Bound& bound, double times) {
  return std::isfinite(d.max_abs) && d.max_abs <= times * bound.max_abs &&
         d.rms_rel <= times * bound.rms;
}

std::vector<AgainstResult> compare_golden(const Golden& golden, const Truth& truth,
                                          const std::string& name, DType dtype,
                                          const std::vector<double>& got) {
  std::vector<AgainstResult> results;
  for (const GoldenTensor& tensor : golden.tensors) {
    if (tensor.site != name) continue;
    // A shape that the file's tensor has was checked against the parameter's when it was read.
    const bool same_size = got.size() == tensor.values.size();
    const Shape shape = same_size ? tensor.shape : Shape{std::ssize(got)};
    results.push_back(judge_against(
        tensor, got, shape, [&](DType of) { return truth.bound(name, of); }, dtype));
  }
  return results;
}

namespace {

Shape shape_of(const Made& made, const std::vector<double>& expected) {
  return made.shape.dims() > 0 ? made.shape : Shape{std::ssize(expected)};
}

}  // namespace

Judge::Compared Judge::compare(const Made& made) const {
  const std::vector<double>&got = made.values, &expected = truth_.values(made.name);
  const Bound bound = truth_.bound(made.name, run_.dtype);
  Compared compared{{made.name, made.placement, std::nan(""), std::nan(""), bound,
                     made.replicas_identical, false}};
  SiteResult& result = compared.result;
  Difference d;
  if (got.size() == expected.size()) {
    d = tplab::compare(got, expected, shape_of(made, expected), bound.max_abs);
    result.rms = d.rms_rel;
    result.max_abs = d.max_abs;
    result.good = within(d, bound) && made.replicas_identical;
  }
  if (golden_) compared.against = compare_golden(*golden_, truth_, made.name, run_.dtype, got);
  return compared;
}

Finding Judge::explain(const Made& made) const {
  const std::vector<double>& expected = truth_.values(made.name);
  const double bound = truth_.bound(made.name, run_.dtype).max_abs;
  Evidence evidence{.got = made.values,
                    .expected = expected,
                    .shape = shape_of(made, expected),
                    .tp = run_.mesh.tp,
                    .bound = bound};
  if (made.evidence) made.evidence(evidence);
  if (!made.replicas_identical && evidence.replicas.empty())
    return {made.name, "ranks that hold the same part hold different bits",
            "a gradient was not summed over all ranks, or ranks drew different numbers"};
  return {made.name, tplab::compare(made.values, expected, evidence.shape, bound).describe(),
          guess_cause(evidence)};
}

void Judge::take(Compared compared) const {
  const bool good = run_.results.emplace_back(std::move(compared.result)).good;
  for (AgainstResult& a : compared.against) {
    if (good && !a.good && !run_.golden_finding)
      run_.golden_finding = {a.tensor, a.difference, a.why};
    run_.against.push_back(std::move(a));
  }
}

void Judge::operator()(const Made& made) const {
  Compared compared = compare(made);
  if (!compared.result.good && !run_.finding) run_.finding = explain(made);
  take(std::move(compared));
}

void Judge::counts(const std::function<std::vector<PredictedEvent>(int rank)>& predicted) const {
  for (size_t rank = 0; rank < run_.events.size() && run_.disagreement.empty(); ++rank) {
    const std::string difference =
        first_disagreement(predicted(static_cast<int>(rank)), run_.events[rank]);
    if (!difference.empty()) run_.disagreement = fmt::format("rank {}, {}", rank, difference);
  }
  if (!run_.disagreement.empty() && !run_.finding)
    run_.finding = {"ledger", run_.disagreement, "a collective was added, dropped or resized"};
}

}  // namespace tplab
