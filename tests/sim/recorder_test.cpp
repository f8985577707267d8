// What a recorder is told of a run.
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "sim/collectives.h"
#include "sim/machine/world.h"
#include "sim/ops.h"

using namespace tplab;

namespace {

std::string values_of(const Array& x) {
  std::string text;
  for (int64_t i = 0; i < x.count(); ++i)
    text += (i ? " " : "") + std::to_string(static_cast<int>(x.as<double>()[i]));
  return text;
}

// A line for each call.
class Lines final : public Recorder {
 public:
  void begin(const Rank& rank) override { rank_ = &rank; }
  void entered() override { note("enter " + rank_->site()->path()); }
  void left() override { note("leave " + rank_->site()->path()); }
  void placed(const Array&, std::string_view placement) override { note(std::string(placement)); }
  void shown(const Shown& s, Device&) override { note("show " + s.site); }
  void computed(const Computation& c) override {
    note(std::string(c.operation) + " " + std::to_string(c.reads.size()) + " -> " +
         std::to_string(c.writes.size()));
  }
  void before(const Post& call, const Array& in) override {
    note(std::string(name(call.op)) + " of " + values_of(in));
  }
  void after(const Event& event, const Array& out) override {
    note(std::string(name(event.op)) + " gave " + values_of(out));
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void note(std::string line) { lines_.push_back(std::move(line)); }
  const Rank* rank_ = nullptr;
  std::vector<std::string> lines_;
};

TEST_CASE("recorder: told of scopes, placements, tensors, and a collective's before and after") {
  std::vector<Lines> ranks(2);
  World({.tp = 2, .recorders = {&ranks[0], &ranks[1]}}).run([](Rank& rank) {
    auto scope = rank.at("mlp");
    Array x = rank.device().allocate(DType::f64, Shape{2});
    x.as<double>()[0] = 3 + rank.index();
    x.as<double>()[1] = 5 * rank.index();
    (void)show("sum", leave(assume_placement<Partial>(rank, x)));
  });
  CHECK(ranks[1].lines() == std::vector<std::string>{"enter mlp", "partial", "all_reduce of 4 5",
                                                     "all_reduce gave 7 5", "invariant",
                                                     "show mlp/sum", "leave mlp"});
  CHECK(ranks[0].lines()[2] == "all_reduce of 3 0");
}

// "show 7": each call with its line; "leave 1 < 7": and with those that passed it on.
class Calls final : public Recorder {
 public:
  void shown(const Shown& s, Device&) override { note("show", &s.where); }
  void before(const Post& call, const Array&) override { note(name(call.op), &call.where); }
  const std::vector<std::string>& lines() const { return lines_; }
  const std::set<std::string>& files() const { return files_; }

 private:
  void note(std::string_view what, const CallSite* where) {
    std::string line(what);
    for (; where; where = where->caller) {
      line += (line == what ? " " : " < ") + std::to_string(where->line);
      files_.insert(where->file);
    }
    lines_.push_back(line);
  }
  std::vector<std::string> lines_;
  std::set<std::string> files_;
};

constexpr int kSum = __LINE__ + 2;
Tensor<Invariant> sum(Tensor<Partial> x, CallSite where = here()) {
  return leave(std::move(x), here(where));
}

TEST_CASE("recorder: told of the line that called, also through functions that pass it on") {
  std::vector<Calls> ranks(2);
  constexpr int kBody = __LINE__;
  World({.tp = 2, .recorders = {&ranks[0], &ranks[1]}}).run([](Rank& rank) {
    Array x = rank.device().allocate(DType::f64, Shape{1});
    x.as<double>()[0] = 1;
    rank.comm().all_reduce(x);
    Tensor<Partial> part = assume_placement<Partial>(rank, x);
    (void)show("y", leave(part));
    (void)sum(part);
    rank.comm().barrier();
  });
  const auto at = [](int line) { return " " + std::to_string(line); };
  for (const Calls& rank : ranks) {
    CHECK(rank.files() == std::set<std::string>{"tests/sim/recorder_test.cpp"});
    CHECK(rank.lines() ==
          std::vector<std::string>{
              "all_reduce" + at(kBody + 4), "all_reduce" + at(kBody + 6), "show" + at(kBody + 6),
              "all_reduce" + at(kSum) + " <" + at(kBody + 7), "barrier" + at(kBody + 8)});
  }
}

TEST_CASE("recorder: the meta device tells each operation, and no array is given out twice") {
  Lines told;
  std::vector<const void*> addresses;
  World({.tp = 1, .device = "meta", .recorders = {&told}}).run([&](Rank& rank) {
    Device& device = rank.device();
    CHECK_FALSE(device.has_numbers());
    for (int i = 0; i < 3; ++i) addresses.push_back(device.allocate(DType::f32, Shape{0}).data());
    Array x = device.allocate(DType::f32, Shape{4, 8}),
          w = device.allocate(DType::f32, Shape{2, 8}),
          y = device.allocate(DType::f32, Shape{4, 2});
    device.run(op::Linear{x, w, {}, y});
    device.run(op::Linear{x, w, w, y});
    CHECK(device.memory().current_bytes == 4 * (32 + 16 + 8));
    std::vector<double> read(8);
    to_host(device, y, read);
    CHECK(read == std::vector<double>(8, 1.0));
  });
  CHECK(told.lines() == std::vector<std::string>{"linear 2 -> 1", "linear 3 -> 1"});
  CHECK(addresses[0] != addresses[1]);
  CHECK(addresses[1] != addresses[2]);
}

}  // namespace
