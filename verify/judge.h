// Holds what one run made against the truth, and keeps the first thing that is wrong.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "verify/predict.h"
#include "verify/truth.h"
#include "verify/verify.h"

namespace tplab {

// Something that the ranks made, put together.
struct Made {
  std::string name;  // the truth's
  std::vector<double> values;
  bool replicas_identical = true;
  std::string placement = {};  // of the tensor on the ranks
  Shape shape = {};            // if it is known: else a list of as many numbers
  // Of a wrong one: adds what is known of its parts (see Evidence).
  std::function<void(Evidence&)> evidence = {};
};

class Judge {
 public:
  // golden: null if its tensors are compared elsewhere.
  Judge(const Truth& truth, const Golden* golden, RunResult& run)
      : truth_(truth), golden_(golden), run_(run) {}

  const Truth& truth() const { return truth_; }
  RunResult& run() const { return run_; }

  // Made, compared: what of it goes into the run.
  struct Compared {
    SiteResult result;
    std::vector<AgainstResult> against = {};
  };
  // May be called for several at once.   REQUIRES: the truth has the name
  Compared compare(const Made& made) const;
  // Where a wrong one is wrong, and a guess why: of the first only, since it takes its time.
  Finding explain(const Made& made) const;
  // Adds it to the run's results.
  void take(Compared compared) const;
  void operator()(const Made& made) const;

  // The rank's collectives, which are in the run's events, against what they must be.
  void counts(const std::function<std::vector<PredictedEvent>(int rank)>& predicted) const;

 private:
  const Truth& truth_;
  const Golden* golden_;
  RunResult& run_;
};

// Ours of `name` against the golden file's, where it has that.
std::vector<AgainstResult> compare_golden(const Golden& golden, const Truth& truth,
                                          const std::string& name, DType dtype,
                                          const std::vector<double>& got);

}  // namespace tplab
