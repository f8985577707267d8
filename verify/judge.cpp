#include "verify/judge.h"

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

Judge::Compared Judge::compare(const Made& made) const {
  const std::vector<double>&got = made.values, &expected = truth_.values(made.name);
  const Bound bound = truth_.bound(made.name, run_.dtype);
  const Shape shape = made.shape.dims() > 0 ? made.shape : Shape{std::ssize(expected)};
  Compared compared{{made.name, made.placement, std::nan(""), std::nan(""), bound,
                     made.replicas_identical, false}};
  SiteResult& result = compared.result;
  Difference d;
  if (got.size() == expected.size()) {
    d = tplab::compare(got, expected, shape, bound.max_abs);
    result.rms = d.rms_rel;
    result.max_abs = d.max_abs;
    result.good = within(d, bound) && made.replicas_identical;
  }
  if (golden_) compared.against = compare_golden(*golden_, truth_, made.name, run_.dtype, got);
  if (result.good) return compared;
  Evidence evidence{
      .got = got, .expected = expected, .shape = shape, .tp = run_.mesh.tp, .bound = bound.max_abs};
  if (made.evidence) made.evidence(evidence);
  if (!made.replicas_identical && evidence.replicas.empty()) {
    compared.finding = {
        made.name, "ranks that hold the same part hold different bits",
        "a gradient was not summed over all ranks, or ranks drew different numbers"};
  } else {
    compared.finding = {made.name, d.describe(), guess_cause(evidence)};
  }
  return compared;
}

void Judge::take(Compared compared) const {
  const SiteResult& result = run_.results.emplace_back(std::move(compared.result));
  if (!result.good) blame(compared.finding);
  for (AgainstResult& a : compared.against) {
    if (result.good && !a.good && !run_.golden_finding)
      run_.golden_finding = {a.tensor, a.difference, a.why};
    run_.against.push_back(std::move(a));
  }
}

}  // namespace tplab
