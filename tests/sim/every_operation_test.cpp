// What holds for every operation on every device, by its example (operation_examples.h). What each
// one computes is tested against plain loops elsewhere.
#include <catch2/catch.hpp>
#include <functional>
#include <set>

#include "sim/cuda/gpus.h"
#include "sim/cuda/host/host_runtime.h"
#include "sim/machine/watched_device.h"
#include "sim/meta/meta_device.h"
#include "sim/recorder.h"
#include "tests/sim/operation_examples.h"

namespace tplab {
namespace {

using namespace testing;

// One of nothing but tails; one of several tiles, registers and lanes; one of whole packs.
const std::vector<Sizes> kSizes = {{1, 1, 3, 2}, {2, 5, 13, 7}, {3, 33, 67, 129}, {2, 18, 64, 40}};

std::string_view name_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.kName; }, operation);
}
op::Arrays reads_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.reads(); }, operation);
}
op::Arrays writes_of(const Operation& operation) {
  return std::visit([](const auto& o) { return o.writes(); }, operation);
}
bool is_one_of(const Array& x, const op::Arrays& arrays) {
  for (const Array* one : arrays)
    if (one && one->data() == x.data()) return true;
  return false;
}
using Results = std::vector<std::vector<double>>;  // of each array that is written

// Runs the example, and checks what needs no other run.
template <class Make>
Results run(Device& device, DType dtype, const Sizes& sizes, Make make) {
  Maker maker(device, dtype, sizes);
  const Operation operation = make(maker, sizes);
  INFO(name_of(operation) << " in " << name(dtype) << ", [" << sizes.B << ", " << sizes.T << ", "
                          << sizes.C << "], " << sizes.O);
  const op::Arrays reads = reads_of(operation), writes = writes_of(operation);
  Results before;
  for (const Array* x : reads)
    if (x) before.push_back(numbers_of(device, *x));
  device.run(operation);
  device.wait();

  CHECK(maker.numbers_touched_around() == 0);
  size_t i = 0;
  for (const Array* x : reads) {
    if (!x) continue;
    const std::vector<double>& was = before[i++];
    if (!is_one_of(*x, writes)) CHECK(numbers_of(device, *x) == was);
  }
  Results results;
  for (const Array* x : writes) {
    if (!x) continue;
    results.push_back(numbers_of(device, *x));
    CHECK(std::all_of(results.back().begin(), results.back().end(),
                      [](double v) { return std::isfinite(v); }));
  }
  CHECK_FALSE(results.empty());
  return results;
}

template <class Make>
Results run_on_cpu(int lanes, DType dtype, const Sizes& sizes, Make make) {
  Team team(lanes);
  const auto device = make_cpu_device(team.crew());
  return run(*device, dtype, sizes, make);
}

// Each result is off by at most `relative` of the largest number wanted, or of 1, and by `stored`,
// the roundoff of what it is stored in, of itself.
void check_close(const Results& want, const Results& got, double relative, double stored) {
  REQUIRE(got.size() == want.size());
  for (size_t w = 0; w < want.size(); ++w) {
    REQUIRE(got[w].size() == want[w].size());
    double largest = 1, off = 0;
    for (size_t i = 0; i < want[w].size(); ++i) {
      largest = std::max(largest, std::abs(want[w][i]));
      off = std::max(off, std::abs(got[w][i] - want[w][i]) - stored * std::abs(want[w][i]));
    }
    INFO("result " << w << ": off by " << off << ", largest " << largest);
    CHECK(off <= relative * largest);
  }
}

// Of the arrays that an example writes.
template <class Make>
std::vector<DType> dtypes_written(DType dtype, Make make) {
  const auto device = make_meta_device(nullptr);
  Maker maker(*device, dtype, kSizes[0]);
  const Operation operation = make(maker, kSizes[0]);
  std::vector<DType> dtypes;
  for (const Array* x : writes_of(operation))
    if (x) dtypes.push_back(x->dtype());
  return dtypes;
}

struct Told final : Recorder {
  void computed(const Computation& computation) override {
    told.emplace_back(computation.operation);
    for (const Array* x : computation.writes) written += x && x->present();
  }
  std::vector<std::string> told;
  int written = 0;
};

struct Times final : OperationTimes {
  void starts(std::string_view operation) override { started.emplace_back(operation); }
  void ends() override { ++ended; }
  std::vector<std::string> started;
  int ended = 0;
};

}  // namespace

TEST_CASE("every operation writes what it says, whole, and nothing else, on any number of lanes") {
  for (const Sizes& sizes : kSizes) {
    for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      for_every_operation([&](auto make) {
        const Results alone = run_on_cpu(1, dtype, sizes, make);
        CHECK((run_on_cpu(3, dtype, sizes, make) == alone));
      });
    }
  }
}

TEST_CASE("every operation is in f32 and bf16 what it is in f64, to a few roundings") {
  // A result is at most some 1000 roundings of numbers no larger than the largest result and the
  // sums of 129 terms below 1 that it came from: 1000 u 130 < 0.01 would be a bug's size; sums of
  // random signs stay a hundred times below. In bf16 it is that of f32 rounded once more, by at
  // most a roundoff of itself.
  for (const Sizes& sizes : kSizes) {
    for_every_operation([&](auto make) {
      const Results f64 = run_on_cpu(1, DType::f64, sizes, make);
      for (const DType dtype : {DType::f32, DType::bf16}) {
        const Results got = run_on_cpu(1, dtype, sizes, make);
        const double stored = dtype == DType::bf16 ? unit_roundoff(dtype) : 0;
        INFO(name(dtype));
        check_close(f64, got, 1.01e-4, stored);
      }
    });
  }
}

TEST_CASE("every operation on the CPU is in bf16 what it is in f32, rounded once") {
  for (const Sizes& sizes : kSizes) {
    for_every_operation([&](auto make) {
      const Results f32 = run_on_cpu(1, DType::f32, sizes, make);
      const Results bf16s = run_on_cpu(1, DType::bf16, sizes, make);
      const std::vector<DType> dtypes = dtypes_written(DType::bf16, make);
      REQUIRE(bf16s.size() == f32.size());
      for (size_t w = 0; w < f32.size(); ++w) {
        std::vector<double> want = f32[w];
        if (dtypes[w] == DType::bf16)
          for (double& v : want) v = static_cast<double>(static_cast<float>(bf16(v)));
        INFO("result " << w);
        CHECK((bf16s[w] == want));
      }
    });
  }
}

void check_against_the_cpu(const std::function<std::unique_ptr<Device>()>& make_device) {
  // Sums of at most some 1000 terms in another order: 1000 u in f64; in f32 and bf16 as above,
  // where both results of the same f32 numbers are rounded, which may go to either side.
  // Attention's tensor cores take probabilities, and their gradients, rounded to bf16: a roundoff
  // of each term of a sum, and here the terms are together at most twice the largest result.
  const auto relative = [](DType dtype, bool attention) {
    if (dtype == DType::f64) return 1e-13;
    return attention && dtype == DType::bf16 ? 2 * unit_roundoff(dtype) : 1.01e-4;
  };
  for (const Sizes& sizes : kSizes) {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      for_every_operation([&](auto make) {
        const auto device = make_device();
        const Results once = run(*device, dtype, sizes, make);
        Maker maker(*device, dtype, sizes);
        const bool attention = name_of(make(maker, sizes)).ends_with("attention") ||
                               name_of(make(maker, sizes)).ends_with("attention_backward");
        const double stored = dtype == DType::bf16 ? 2 * unit_roundoff(dtype) : 0;
        INFO(name(dtype));
        check_close(run_on_cpu(1, dtype, sizes, make), once, relative(dtype, attention), stored);
        CHECK((run(*device, dtype, sizes, make) == once));  // threads took turns in other orders
      });
    }
  }
}

TEST_CASE("every operation is by the kernels for GPUs what it is on the CPU, run after run") {
  check_against_the_cpu(make_cuda_host_device);
}

TEST_CASE("every operation is on a GPU, where there is one, what it is on the CPU", "[cuda]") {
  if (!gpu_report().problem.empty()) return;
  check_against_the_cpu([] { return make_gpu_device({}); });
}

TEST_CASE("every operation runs on the meta device, which tells it by its name") {
  Told told;
  const auto device = make_meta_device(&told);
  std::set<std::string> names;
  for_every_operation([&](auto make) {
    Maker maker(*device, DType::f32, kSizes[1]);
    const Operation operation = make(maker, kSizes[1]);
    told = {};
    device->run(operation);
    REQUIRE(told.told.size() == 1);
    CHECK(told.told.back() == name_of(operation));
    CHECK(told.written > 0);
    names.emplace(name_of(operation));
  });
  CHECK(names.size() == std::variant_size_v<AnyOperation>);  // no two of one name
}

TEST_CASE("every operation is the same on a watched device, which tells what is done, and when") {
  for_every_operation([](auto make) {
    Times times;
    Told told;
    Team team(1);
    const auto watched = make_watched_device(make_cpu_device(team.crew()), &times, &told);
    const Results results = run(*watched, DType::f32, kSizes[1], make);
    CHECK((results == run_on_cpu(1, DType::f32, kSizes[1], make)));
    CHECK(times.started.size() == 1);
    CHECK(times.ended == 1);
    CHECK(told.told == times.started);
    CHECK(told.written > 0);
  });
}

}  // namespace tplab
