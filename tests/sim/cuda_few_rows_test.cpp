// Products of few rows, and the launches that a captured step is made of.
#include <catch2/catch.hpp>
#include <cmath>
#include <memory>

#include "sim/cuda/gpus.h"
#include "sim/cuda/host/host_runtime.h"
#include "sim/error.h"
#include "tests/sim/numbers.h"

namespace tplab {
namespace {

// Of any device's memory.
template <class Real>
Array made(Device& device, const Shape& shape, int seed) {
  std::vector<Real> numbers;
  for (int64_t i = 0; i < shape.count(); ++i)
    numbers.push_back(static_cast<Real>(static_cast<float>(number_at(i, seed))));
  Array x = device.allocate(dtype_of<Real>, shape);
  device.upload({x.dtype(), numbers.data(), x.count()}, x);
  return x;
}
template <class Real>
std::vector<double> numbers_of(Device& device, const std::vector<Array>& arrays) {
  std::vector<double> all;
  for (const Array& x : arrays) {
    std::vector<Real> numbers(static_cast<size_t>(x.count()));
    device.download(x, {x.dtype(), numbers.data(), x.count()});
    for (const Real one : numbers) all.push_back(static_cast<double>(one));
  }
  return all;
}

// What stands around a block's two products in decoding: a norm, a product with its bias and an
// activation; a product, its bias on the sum and the stream before.
template <class Real>
struct SmallBlock {
  static constexpr int64_t kHidden = 5;

  SmallBlock(Device& device, int64_t rows, int64_t width)
      : x(made<Real>(device, {rows, width}, 1)),
        weight(made<Real>(device, {width}, 2)),
        bias(made<Real>(device, {width}, 3)),
        up(made<Real>(device, {kHidden, width}, 4)),
        up_bias(made<Real>(device, {kHidden}, 5)),
        down(made<Real>(device, {width, kHidden}, 6)),
        down_bias(made<Real>(device, {width}, 7)) {}

  // Every array that is written, in an order.
  std::vector<Array> queue(Device& device, bool rms) const {
    const DType dtype = x.dtype();
    const Shape narrow = x.shape().with_last(kHidden);
    const auto one = [&](const Shape& shape) { return device.allocate(dtype, shape); };
    const Array n = one(x.shape()), h = one(narrow), a = one(narrow), y = one(x.shape()),
                biased = one(x.shape()), out = one(x.shape());
    if (rms) {
      device.run(op::RmsNorm{x, weight, 1e-5, true, n});
    } else {
      device.run(op::LayerNorm{x, weight, bias, 1e-5, n});
    }
    device.run(op::Linear{n, up, up_bias, h});
    device.run(op::Activation{ActivationKind::gelu, h, a});
    device.run(op::Linear{a, down, {}, y});
    device.run(op::Add{y, down_bias, biased});
    device.run(op::Add{biased, x, out});
    return {n, h, a, y, biased, out};
  }

  Array x, weight, bias, up, up_bias, down, down_bias;
};

}  // namespace

TEMPLATE_TEST_CASE("cuda-host: products of few rows are what they are on the CPU", "", float,
                   double, bf16) {
  using Real = TestType;
  Team team(1);
  const auto cpu = make_cpu_device(team.crew()), kernels = make_cuda_host_device();
  // Packs or not; less than a warp has at once, and several of that; outputs for a warp, or more.
  for (const int64_t depth : {1, 7, 264, 3008}) {
    for (const int64_t rows : {1, 3, 4}) {
      const int64_t outputs = depth == 7 ? 3200 : 9;
      INFO(rows << " x " << depth << " x " << outputs);
      const auto product = [&](Device& device) {
        const Array y = device.allocate(dtype_of<Real>, {rows, outputs});
        device.run(op::Linear{numbers<Real>(device, {rows, depth}, 1),
                              numbers<Real>(device, {outputs, depth}, 2),
                              numbers<Real>(device, {outputs}, 3), y});
        device.wait();
        return y;
      };
      const Array want = product(*cpu), got = product(*kernels);
      // Both sums are off by gamma of depth + 1 terms below 1; bf16 is rounded once more.
      using Sum = std::conditional_t<std::is_same_v<Real, bf16>, float, Real>;
      const double sums = 2 * gamma_of<Sum>(depth + 1) * static_cast<double>(depth + 1);
      int64_t wrong = 0;
      for (int64_t i = 0; i < want.count(); ++i) {
        const auto exact = static_cast<double>(want.as<Real>()[i]);
        const double stored =
            std::is_same_v<Real, bf16> ? 2 * unit_roundoff(DType::bf16) * std::abs(exact) : 0;
        wrong += !within(static_cast<double>(got.as<Real>()[i]), exact, 1.01 * (sums + stored));
      }
      CHECK(wrong == 0);
    }
  }
}

namespace {

// off: how far numbers may be from those of the operations one by one.
template <class Real>
void check_captured_steps(Device& device, double off) {
  struct Case {
    int64_t rows, width, launches;
  };
  // Rows that are no packs keep their norm's launch; many rows all of them.
  for (const Case& c : {Case{1, 264, 2}, Case{3, 64, 2}, Case{2, 7, 3}, Case{5, 64, 6}}) {
    for (const bool rms : {false, true}) {
      INFO(c.rows << " x " << c.width << (rms ? ", RMS" : ""));
      SmallBlock<Real> block(device, c.rows, c.width);
      static_cast<void>(block.queue(device, rms));
      std::vector<Array> captured;
      const std::unique_ptr<Replay> replay =
          device.capture([&] { captured = block.queue(device, rms); });
      REQUIRE(replay);
      if (c.rows <= 4) CHECK(replay->launches() == c.launches);  // else cuBLASLt's are its own
      // What it reads changes before it is done.
      device.copy(made<Real>(device, block.x.shape(), 8).data(), block.x.data(), block.x.bytes());
      const std::vector<double> want = numbers_of<Real>(device, block.queue(device, rms));
      replay->run();
      const std::vector<double> got = numbers_of<Real>(device, captured);
      REQUIRE(got.size() == want.size());
      int64_t wrong = 0;
      for (size_t i = 0; i < got.size(); ++i)
        wrong += !(std::abs(got[i] - want[i]) <= off * std::max(1.0, std::abs(want[i])));
      CHECK(wrong == 0);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("cuda-host: a captured step has its operations' bits with fewer launches", "",
                   float, double, bf16) {
  check_captured_steps<TestType>(*make_cuda_host_device(), 0);
}

TEMPLATE_TEST_CASE("a GPU, where there is one: a captured step is its operations one by one",
                   "[cuda]", float, double, bf16) {
  if (!gpu_report().problem.empty()) return;
  // The compiler may contract a product and a sum in one kernel and not in the other.
  check_captured_steps<TestType>(*make_gpu_device({}), 16 * unit_roundoff(dtype_of<TestType>));
}

TEST_CASE(
    "cuda-host: what blocks of a joined launch would overwrite for one another is not joined") {
  const auto device = make_cuda_host_device();
  const Array x = numbers<float>(*device, {1, 8}, 1), weight = numbers<float>(*device, {8}, 2),
              w = numbers<float>(*device, {8, 8}, 3);
  const Array n = device->allocate(DType::f32, {1, 8}), y = device->allocate(DType::f32, {1, 8});
  const auto launches = [&](const auto&... operations) {
    return device->capture([&] { (device->run(operations), ...); })->launches();
  };
  CHECK(launches(op::RmsNorm{x, weight, 1e-5, false, n}, op::Linear{n, w, {}, y}) == 1);
  CHECK(launches(op::RmsNorm{x, weight, 1e-5, false, x}, op::Linear{x, w, {}, y}) == 2);
  CHECK(launches(op::RmsNorm{x, weight, 1e-5, false, n}, op::Linear{x, w, {}, y}) == 2);
  CHECK(launches(op::Linear{x, w, {}, y}, op::Add{y, n, y}) == 1);
  CHECK(launches(op::Linear{x, w, {}, y}, op::Add{y, x, x}) == 2);
  CHECK(launches(op::Linear{x, w, {}, y}, op::Add{y, y, n}) == 2);
  CHECK(launches(op::Linear{x, w, {}, y}, op::Add{n, y, n}) == 2);
}

TEST_CASE("cuda-host: a step that fails, or waits, is not captured, and the device goes on") {
  const auto device = make_cuda_host_device();
  Array x = numbers<float>(*device, {4}, 1);
  const Array before = numbers<float>(*device, {4}, 1);
  CHECK_THROWS_WITH(device->capture([&] {
    device->run(op::Add{x, x, x});
    device->wait();
  }),
                    Catch::Contains("a wait in a step that is being captured"));
  device->wait();
  CHECK(same_bits(x, before));
  device->zero(x);
  CHECK(x.as<float>()[2] == 0);
}

}  // namespace tplab
