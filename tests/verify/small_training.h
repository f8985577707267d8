// A small model, batches for it, and ways to break its training, for the tests of the verifier.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/training/trainer.h"
#include "sim/comm_breakage.h"
#include "sim/machine/rank.h"
#include "tests/model/small_gpt.h"
#include "verify/verify.h"

namespace tplab::testing {

// B 4, T 8: 2 sequences a replica at dp 2, 2 positions a rank at tp 4. Different at every index
// and in every batch. Three targets are left out, all of them in the first replica's half.
inline TrainingBatch small_batch(int32_t which) {
  TrainingBatch batch{{4, 8, {}}, {}};
  for (int32_t i = 0; i < 32; ++i) {
    batch.tokens.ids.push_back((i * i + 29 * i + 13 * which + 7) % 67);
    batch.targets.push_back((i * i + 31 * i + 17 * which + 5) % 67);
  }
  for (size_t i : {2u, 5u, 11u}) batch.targets[i] = -1;
  return batch;
}

inline VerifyOptions small_options(std::vector<Parallelism> meshes, int32_t steps = 1) {
  VerifyOptions options;
  options.backward = true;
  options.meshes = std::move(meshes);
  for (int32_t i = 0; i <= steps; ++i) options.batches.push_back(small_batch(i));
  return options;
}

// What a broken collective does instead: something to its input (before the ranks meet: then peers
// read and write it), nothing, or something to its result.
struct Tampering {
  std::string site;
  Axis axis = Axis::tp;
  std::optional<Phase> phase = {};  // none: in all of them
  std::function<void(Rank& rank, const Post& call)> before = {};
  std::function<void(Rank& rank, Array& x)> after = {};
  bool drop = false;
};

// Collectives that sum are tampered with at one site.
inline CommBreakage tampered(Tampering t) {
  const auto here = [=](const Post& call) {
    return (call.op == Op::all_reduce || call.op == Op::reduce_scatter) && call.axis == t.axis &&
           call.site->path() == t.site && (!t.phase || call.phase == *t.phase);
  };
  CommBreakage breakage;
  if (t.before) {
    breakage.before = [=](Rank& rank, const Post& call) {
      if (here(call)) t.before(rank, call);
    };
  }
  breakage.move = [=](Transport& honest, Rank& rank, const Post& call, const Array& in,
                      Array& out) -> int64_t {
    if (!here(call)) return honest.move(call, in, out);
    if (!t.drop) {
      const int64_t bytes = honest.move(call, in, out);
      if (t.after) t.after(rank, out);
      return bytes;
    }
    if (call.op == Op::reduce_scatter) {  // its own term of its own part
      const int place = t.axis == Axis::dp ? rank.dp_index() : rank.index();
      const Array mine = in.part(place * out.count(), out.shape());
      rank.device().copy(mine.data(), out.data(), mine.bytes());
    }
    return 0;
  };
  return breakage;
}

// One that is as tampered(), but honest in `op`.
inline CommBreakage tampered_but(Op op, Tampering tampering) {
  CommBreakage breakage = tampered(std::move(tampering));
  breakage.move = [=, tamper = breakage.move](Transport& honest, Rank& rank, const Post& call,
                                              const Array& in, Array& out) {
    return call.op == op ? honest.move(call, in, out) : tamper(honest, rank, call, in, out);
  };
  return breakage;
}

// For Tampering: every number times what `factor` says of the number of tp ranks.
inline std::function<void(Rank&, Array&)> times(std::function<double(double tp)> factor) {
  return [=](Rank& rank, Array& x) {
    dispatch(x.dtype(), [&](auto zero) {
      using Real = decltype(zero);
      for (int64_t i = 0; i < x.count(); ++i)
        x.as<Real>()[i] =
            static_cast<Real>(static_cast<double>(x.as<Real>()[i]) * factor(rank.size()));
    });
  };
}

// Every run must pass; the message says where one did not.
inline void check_good(const Report& report) {
  for (const RunResult& run : report.runs) {
    INFO(run.mesh.text() << ", " << name(run.dtype) << ", " << name(report.algorithm));
    INFO((run.finding ? run.finding->site + ": " + run.finding->where : ""));
    CHECK(run.good());
  }
  CHECK(report.good());
}

// How many times its bound the first wrong number is; infinite for what no bound judges: NaN, ranks
// whose copies differ, counts of the ledger.
inline double over_bound(const std::vector<SiteResult>& results, const std::string& site) {
  double over = std::numeric_limits<double>::infinity();
  for (const SiteResult& r : results)
    if (r.site == site && r.replicas_identical && r.max_abs < over)
      over = std::max(r.rms / r.bound.rms, r.max_abs / r.bound.max_abs);
  return over;
}

// No mutant is nearer to its bound than this.
inline constexpr double kCaughtBy = 100;

// Every run must fail, and first at this site.
inline void check_caught(const Report& report, const std::string& site,
                         const std::string& cause = "") {
  CHECK_FALSE(report.good());
  for (const RunResult& run : report.runs) {
    INFO(run.mesh.text() << ", " << name(run.dtype));
    REQUIRE(run.finding);
    INFO(run.finding->where);
    CHECK(run.finding->site == site);
    CHECK(over_bound(run.results, run.finding->site) > kCaughtBy);
    CHECK_THAT(run.finding->cause, Catch::Contains(cause));
  }
}

// A trainer that behaves as another, but for what derives from it.
class WrappedTrainer : public Trainer {
 public:
  explicit WrappedTrainer(std::unique_ptr<Trainer> inner) : inner_(std::move(inner)) {}
  StepResult step(const Tokens& tokens, const std::vector<int32_t>& targets, int64_t step,
                  double learning_rate) override {
    return inner_->step(tokens, targets, step, learning_rate);
  }
  double gradients(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    return inner_->gradients(tokens, targets);
  }
  double evaluate(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    return inner_->evaluate(tokens, targets);
  }
  std::string first_not_finite(const Tokens& tokens, const std::vector<int32_t>& targets) override {
    return inner_->first_not_finite(tokens, targets);
  }
  const ShardPlan& plan() const override { return inner_->plan(); }
  const FlatParameters& parameters() const override { return inner_->parameters(); }
  Optimizer& optimizer() override { return inner_->optimizer(); }

 private:
  std::unique_ptr<Trainer> inner_;
};

}  // namespace tplab::testing
