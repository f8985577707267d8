// Decoding on a device that writes a step down and does it again, as a GPU does with CUDA graphs: a
// step must find all that changes in arrays on the device.
#include "model/decode_steps.h"

#include <catch2/catch.hpp>
#include <functional>

#include "model/generate.h"
#include "model/init.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/ops/list.h"
#include "tests/model/small_gpt.h"

using namespace tplab;

namespace {

class WritingDevice final : public Device {
 public:
  explicit WritingDevice(std::unique_ptr<Device> device) : device_(std::move(device)) {}
  std::string_view name() const override { return "writing"; }
  Array allocate(DType dtype, const Shape& shape) override {
    return kept(device_->allocate(dtype, shape));
  }
  void upload(HostSpan from, Array& to) override {
    refuse("an upload");
    device_->upload(from, to);
  }
  void download(const Array& from, HostSpan to) override {
    refuse("a download");
    device_->download(from, to);
  }
  void zero(Array& x) override {
    give([this, x]() mutable { device_->zero(x); });
  }
  MemoryUse memory() const override { return device_->memory(); }
  void run(const Operation& operation) override {
    give([this, operation] { device_->run(operation); });
  }
  void wait() override { refuse("a wait"); }
  void sum(std::span<const void* const>, void*, DType, int64_t) override { refuse("a sum"); }
  void max(std::span<const void* const>, void*, DType, int64_t) override { refuse("a maximum"); }
  void copy(const void* from, void* to, int64_t bytes) override {
    give([this, from, to, bytes] { device_->copy(from, to, bytes); });
  }
  void read(std::span<const Array>) override {}

  bool captures() const override { return true; }
  std::unique_ptr<Replay> capture(const std::function<void()>& step) override {
    auto written = std::make_unique<Written>();
    writing_ = written.get();
    step();
    writing_ = nullptr;
    return written;
  }

 private:
  struct Written final : Replay {
    void run() override {
      for (const auto& work : list) work();
    }
    int64_t launches() const override { return std::ssize(list); }
    std::vector<std::function<void()>> list;
    std::vector<Array> memory;
  };

  Array kept(Array x) {
    if (writing_) writing_->memory.push_back(x);
    return x;
  }
  void give(const std::function<void()>& work) {
    if (writing_)
      writing_->list.push_back(work);
    else
      work();
  }
  void refuse(const char* what) const {
    if (writing_) fail(std::string(what) + " in a step that is written down", "");
  }

  const std::unique_ptr<Device> device_;
  Written* writing_ = nullptr;
};

WorldOptions writing(int tp) {
  WorldOptions options{.tp = tp};
  options.wrap_device = [](int, std::unique_ptr<Device> device) -> std::unique_ptr<Device> {
    return std::make_unique<WritingDevice>(std::move(device));
  };
  return options;
}

// The logits of a prompt's next tokens, one after the other, twice: the cache begins anew.
struct Decoded {
  std::vector<std::vector<double>> logits;
  int64_t launches;
};
Decoded decode(Rank& rank, const WeightSource& source) {
  const ShardPlan plan(source.architecture(), rank.size());
  const Network network(rank, source, plan, DType::f32);
  KvCache cache = network.new_cache(2);
  DecodeSteps steps(network, cache);
  Decoded decoded{{}, 0};
  for (int round = 0; round < 2; ++round) {
    cache.clear();
    static_cast<void>(network.next({2, 3, {1 + round, 2, 3, 4, 5, 6}}, cache));
    for (int32_t step = 0; step < 6; ++step) {
      std::vector<double> logits(static_cast<size_t>(2 * source.architecture().vocabulary));
      to_host(steps.next({7 + step, 20 - 2 * step}), logits);
      decoded.logits.push_back(std::move(logits));
    }
  }
  decoded.launches = steps.launches();
  return decoded;
}

}  // namespace

TEST_CASE("decode steps: one that is written down once and done again gives the same bits") {
  const auto source = initial_weights(find_preset("nano-cpu").config);
  const auto body = [&](Rank& rank) { return decode(rank, *source); };
  const Decoded plain = World({.tp = 1}).run(body).results[0];
  const Decoded again = World(writing(1)).run(body).results[0];
  CHECK(plain.launches == 0);
  CHECK(again.launches > 0);
  REQUIRE(again.logits.size() == 12);
  CHECK(again.logits == plain.logits);
  CHECK(plain.logits[0] != plain.logits[1]);
}

TEST_CASE("decode steps: the kernels for GPUs do a layer in five launches, with the same bits") {
  const auto source = testing::small_weights();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    World({.tp = 1, .device = "cuda-host"}).run([&](Rank& rank) {
      const ShardPlan plan(source->architecture(), 1);
      const Network network(rank, *source, plan, dtype);
      KvCache cache = network.new_cache(2), plain_cache = network.new_cache(2);
      DecodeSteps steps(network, cache);
      const auto numbers = [&](const Tensor<Replicated>& x) {
        std::vector<double> logits(static_cast<size_t>(2 * source->architecture().vocabulary));
        to_host(x, logits);
        return logits;
      };
      for (int32_t step = 0; step < 5; ++step) {
        const std::vector<int32_t> ids = {3 + step, 40 - 2 * step};
        const std::vector<double> want = numbers(network.next({2, 1, ids}, plain_cache));
        CHECK(numbers(steps.next(ids)) == want);
      }
      // Two embeddings and their sum; a norm with the head, and the logits without padding. In f32
      // attention has a launch more, which stores the keys.
      const int64_t of_layer = dtype == DType::bf16 ? 5 : 6;
      CHECK(steps.launches() == 3 + of_layer * source->architecture().layers() + 2);
    });
  }
}

TEST_CASE("decode steps: who cannot be captured says why") {
  const auto words = [](const WorldOptions& options) {
    return World(options)
        .run([](Rank& rank) { return std::string(why_not_captured(rank)); })
        .results[0];
  };
  CHECK(words({.tp = 2}).empty());  // a CPU, which captures nothing anyway
  CHECK(words(writing(1)).empty());
  CHECK(words(writing(2)) == "its ranks meet in collectives, where the host has a part");
}

TEST_CASE("decode steps: past the context, and outside the vocabulary, they fail as others do") {
  const auto source = initial_weights(find_preset("nano-cpu").config);
  World(writing(1)).run([&](Rank& rank) {
    const ShardPlan plan(source->architecture(), 1);
    const Network network(rank, *source, plan, DType::f32);
    KvCache cache = network.new_cache(1);
    DecodeSteps steps(network, cache);
    for (int64_t i = 0; i < source->architecture().context; ++i) static_cast<void>(steps.next({1}));
    CHECK(steps.launches() > 0);
    CHECK_THROWS_WITH(steps.next({1}), Catch::Contains("more than the model's context"));
    cache.clear();
    CHECK_THROWS_WITH(steps.next({-1}), Catch::Contains("outside the vocabulary"));
  });
}

TEST_CASE("generate: a device that captures steps draws the same tokens") {
  const auto source = initial_weights(find_preset("nano-cpu").config);
  const auto body = [&](Rank& rank) {
    const ShardPlan plan(source->architecture(), rank.size());
    const Network network(rank, *source, plan, DType::f64);
    // Past the context, where the cache is filled anew for each token.
    return generate(network, {3, 1, 4}, source->architecture().context + 3, {.top_k = 5});
  };
  CHECK(World(writing(1)).run(body).results[0] == World({.tp = 1}).run(body).results[0]);
}
