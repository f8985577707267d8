// The device of kernels for GPUs, as communicators and arrays use it.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sim/cuda/host/host_runtime.h"
#include "sim/error.h"
#include "sim/memory_pool.h"
#include "tests/sim/numbers.h"

namespace tplab {
namespace {

// Terms that begin at an index of no alignment, and at one that packs can be read from.
struct SummedTerms {
  SummedTerms(Device& device, DType dtype, int64_t begin, int64_t count) {
    dispatch(dtype, [&](auto zero) {
      using Real = decltype(zero);
      for (int t = 0; t < 5; ++t) {
        Array whole = device.allocate(dtype, {begin + count});
        for (int64_t i = 0; i < whole.count(); ++i)
          whole.as<Real>()[i] = Real(static_cast<float>(number_at(i, t)));
        terms.push_back(whole.part(begin, {count}));
      }
    });
  }
  std::vector<const void*> pointers() const {
    std::vector<const void*> all;
    for (const Array& term : terms) all.push_back(term.data());
    return all;
  }
  std::vector<Array> terms;
};

}  // namespace

TEST_CASE("cuda-host: sums and maxima of ranks have the CPU's bits, in a term's place too") {
  Team team(1);
  const auto cpu = make_cpu_device(team.crew()), kernels = make_cuda_host_device();
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16}) {
    for (const int64_t begin : {3, 16}) {
      for (const int64_t count : {1, 7, 64, 2051}) {
        const auto folded = [&](Device& device, bool max) {
          const SummedTerms summed(device, dtype, begin, count);
          const std::vector<const void*> terms = summed.pointers();
          void* const out = summed.terms[2].data();
          if (max)
            device.max(terms, out, dtype, count);
          else
            device.sum(terms, out, dtype, count);
          device.wait();
          return summed.terms[2];
        };
        INFO(name(dtype) << ", " << count << " from " << begin);
        CHECK(same_bits(folded(*kernels, false), folded(*cpu, false)));
        CHECK(same_bits(folded(*kernels, true), folded(*cpu, true)));
      }
    }
  }
}

TEST_CASE("cuda-host: the maximum is NaN if any term is") {
  const auto device = make_cuda_host_device();
  for (int with = 0; with < 5; ++with) {
    const SummedTerms summed(*device, DType::f64, 0, 3);
    summed.terms[static_cast<size_t>(with)].as<double>()[1] =
        std::numeric_limits<double>::quiet_NaN();
    device->max(summed.pointers(), summed.terms[0].data(), DType::f64, 3);
    for (int64_t i = 0; i < 3; ++i) CHECK(std::isnan(summed.terms[0].as<double>()[i]) == (i == 1));
  }
}

TEST_CASE("cuda-host: reads, zeros, copies up and down") {
  const auto device = make_cuda_host_device();
  Array x = device->allocate(DType::f64, {5});
  double host[5] = {1, 2, 3, 4, 5}, back[5] = {};
  device->upload({DType::f64, host, 5}, x);
  host[0] = 7;
  device->download(x, {DType::f64, back, 5});
  CHECK(back[0] == 1);
  CHECK(back[4] == 5);
  const Array parts[] = {x, x.part(1, {4}), x.part(2, {1})};
  device->read(parts);
  device->zero(x);
  device->download(x, {DType::f64, back, 5});
  CHECK(back[3] == 0);
  CHECK(device->host_memory(x) == x.data());
  CHECK(device->memory().current_bytes == 40);
}

TEST_CASE("cuda-host: marks are moments of its own clock") {
  const auto device = make_cuda_host_device();
  const auto begin = device->mark();
  Array x = device->allocate(DType::f64, {1000});
  device->zero(x);
  const auto middle = device->mark();
  device->run(op::Add{x, x, x});
  const auto end = device->mark();
  REQUIRE(begin);
  const double first = device->seconds_between(begin, middle),
               second = device->seconds_between(middle, end);
  CHECK(first >= 0);
  CHECK(second > 0);
  CHECK(device->seconds_between(begin, end) == Approx(first + second));
}

namespace {

struct LittleMemory final : MemorySource {
  int64_t rounded(int64_t bytes) const override { return bytes; }
  void* take(int64_t) override { return nullptr; }
  void give_back(void*, int64_t) noexcept override {}
  std::string free_text() const override { return ", and 3 bytes of 5 are free"; }
  std::string_view way_out() const override { return "use another"; }
};

}  // namespace

TEST_CASE("MemoryPool: where a source has none, the error says what was wanted and what is free") {
  const auto pool = MemoryPool::make(std::make_shared<LittleMemory>());
  try {
    pool->allocate(DType::bf16, {2, 3});
    FAIL("allocated");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::unavailable);
    CHECK(error.problem() ==
          "no memory for an array [2, 3] of bf16, 12 B, and 3 bytes of 5 are free");
    CHECK(error.fix() == "use another");
  }
}

}  // namespace tplab
