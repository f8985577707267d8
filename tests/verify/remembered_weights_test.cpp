// Weights that are kept are the weights that were read, in every slice and dtype.
#include "verify/remembered_weights.h"

#include <atomic>
#include <catch2/catch.hpp>

#include "model/shard_plan.h"
#include "sim/machine/world.h"
#include "tests/model/small_gpt.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

// Passes reads on, and counts them.
class Counting : public WeightSource {
 public:
  const Architecture& architecture() const override { return honest_->architecture(); }
  std::string description() const override { return "counting"; }
  std::string stored_dtype() const override { return "f32"; }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    ++reads;
    honest_->read(parameter, slice, out);
  }
  mutable std::atomic<int> reads = 0;

 private:
  std::unique_ptr<WeightSource> honest_ = small_weights();
};

template <class Real>
std::vector<Real> read(const WeightSource& source, const std::string& name, const Slice& slice) {
  std::vector<Real> numbers(static_cast<size_t>(slice.count()));
  source.read(name, slice, {dtype_of<Real>, numbers.data(), slice.count()});
  return numbers;
}

}  // namespace

TEST_CASE("remembered weights: every rank's slices, in f32 and f64, are the source's, read once") {
  const Counting source;
  const RememberedWeights remembered(source);
  const auto honest = small_weights();
  std::atomic<int> wrong = 0;
  World({.tp = 4}).run([&](Rank& rank) {
    const ShardPlan plan(source.architecture(), rank.size());
    for (const ParameterRow& row : plan.rows()) {
      const Slice slice = plan.saved_slice(row, rank.index());
      wrong +=
          read<double>(remembered, row.tensor, slice) != read<double>(*honest, row.tensor, slice);
      wrong +=
          read<float>(remembered, row.tensor, slice) != read<float>(*honest, row.tensor, slice);
    }
  });
  CHECK(wrong == 0);
  CHECK(source.reads == std::ssize(named_tensors(source.architecture())));
  const Slice odd{{{3, 5}, {8, 9}}, {1, 6}};
  CHECK(read<double>(remembered, "transformer.wte.weight", odd) ==
        read<double>(*honest, "transformer.wte.weight", odd));
}
