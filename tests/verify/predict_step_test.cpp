// What a training step is predicted to communicate, against numbers worked out by hand.
#include <functional>
#include <set>

#include "tests/verify/small_training.h"
#include "verify/predict.h"

using namespace tplab;
using namespace tplab::testing;

namespace {

using Events = std::vector<PredictedEvent>;

// kSmall has 2 layers and is 32 wide; of [B 2, T 8] the stream has 512 numbers, S = 2048 bytes.
constexpr int64_t kStream = 2 * 8 * 32, kPositions = 2 * 8;

constexpr StepShape kShape{.batch = 2, .length = 8, .algorithm = Algorithm::ring};

Events step(const Parallelism& how, int rank = 0) {
  return predict_step(ShardPlan(kSmall, how.tp), how, kShape, rank);
}

Events where(const Events& events, const std::function<bool(const PredictedEvent&)>& is) {
  Events those;
  std::copy_if(events.begin(), events.end(), std::back_inserter(those), is);
  return those;
}

int64_t count(const Events& events, Phase phase, Op op, int64_t elements) {
  return static_cast<int64_t>(where(events, [&](const PredictedEvent& e) {
                                return e.phase == phase && e.op == op && e.elements == elements;
                              }).size());
}

int64_t wire_bytes(const Events& events) {
  int64_t total = 0;
  for (const PredictedEvent& e : events) total += e.wire_bytes;
  return total;
}

Events of_block_1(const Events& events) {
  return where(events, [](const PredictedEvent& e) { return e.site.starts_with("block 1/"); });
}
Events over(const Events& events, Axis axis) {
  return where(events, [&](const PredictedEvent& e) { return e.axis == axis; });
}

}  // namespace

TEST_CASE("predict_step: TP is 2L + 1 + 3 all-reduces forward, 2L + 1 backward, 1 scalar to clip") {
  for (int tp : {2, 4}) {
    const Events events = step({.tp = tp});
    CHECK(count(events, Phase::forward, Op::all_reduce, kStream) == 5);
    CHECK(count(events, Phase::forward, Op::all_reduce, kPositions) == 3);
    CHECK(count(events, Phase::backward, Op::all_reduce, kStream) == 5);
    CHECK(count(events, Phase::optimizer, Op::all_reduce, 1) == 1);
    CHECK(events.size() == 5 + 3 + 5 + 1);
  }
  CHECK(step({.tp = 1}).empty());
}

TEST_CASE("predict_step: SP replaces each all-reduce of a block by a gather and a scatter") {
  const Events events = step({.tp = 4, .sp = true});
  // The embedding; two gathers a block and one for the head; two scatters a block; the loss.
  CHECK(count(events, Phase::forward, Op::all_reduce, kStream) == 1);
  CHECK(count(events, Phase::forward, Op::all_gather, kStream) == 5);
  CHECK(count(events, Phase::forward, Op::reduce_scatter, kStream) == 4);
  CHECK(count(events, Phase::forward, Op::all_reduce, kPositions) == 3);
  // Two of each a block, the head's scatter, the embedding's gather.
  CHECK(count(events, Phase::backward, Op::all_gather, kStream) == 5);
  CHECK(count(events, Phase::backward, Op::reduce_scatter, kStream) == 5);
  // 6 h a block and 2 h, coalesced: 6 * 32 * 2 + 2 * 32.
  CHECK(count(events, Phase::backward, Op::all_reduce, 448) == 1);
  CHECK(events.size() == 1 + 5 + 4 + 3 + 5 + 5 + 1 + 1);
}

TEST_CASE("predict_step: gathering inputs again is one gather more for each layer and the head") {
  const Events kept = step({.tp = 4, .sp = true});
  const Events again = step({.tp = 4, .sp = true, .regather = true});
  CHECK(count(again, Phase::backward, Op::all_gather, kStream) == 10);
  CHECK(count(again, Phase::backward, Op::reduce_scatter, kStream) == 5);
  CHECK(again.size() == kept.size() + 5);
  const Events block = of_block_1(again);
  CHECK(count(block, Phase::backward, Op::all_gather, kStream) == 4);
  CHECK(count(block, Phase::backward, Op::reduce_scatter, kStream) == 2);
}

TEST_CASE("predict_step: over a ring a block sends 8 (t-1)/t S, and 10 when it gathers again") {
  // S = 2048 bytes: 8 * 1/2 * 2048 = 8192 at tp 2, 8 * 3/4 * 2048 = 12288 at tp 4.
  for (const auto& [tp, bytes] : {std::pair{2, 8192}, {4, 12288}}) {
    for (int rank = 0; rank < tp; ++rank) {
      CHECK(wire_bytes(of_block_1(step({.tp = tp}, rank))) == bytes);
      CHECK(wire_bytes(of_block_1(step({.tp = tp, .sp = true}, rank))) == bytes);
      CHECK(wire_bytes(of_block_1(step({.tp = tp, .sp = true, .regather = true}, rank))) ==
            bytes / 8 * 10);
    }
  }
}

TEST_CASE("predict_step: recomputing runs each block's forward collectives once more") {
  const Events tp = step({.tp = 2, .recompute = true});
  CHECK(count(tp, Phase::forward, Op::all_reduce, kStream) == 5);
  CHECK(count(tp, Phase::backward, Op::all_reduce, kStream) == 5 + 4);
  const Events sp = step({.tp = 2, .sp = true, .recompute = true});
  CHECK(count(sp, Phase::backward, Op::all_gather, kStream) == 5 + 4);
  CHECK(count(sp, Phase::backward, Op::reduce_scatter, kStream) == 5 + 4);
}

TEST_CASE("predict_step: replicas sum gradients, and ZeRO shares out parts and gathers them") {
  // At tp 1 the parameters of kSmall, the vocabulary padded to 128: wte 4096, wpe 512, two blocks
  // of 12 * 32 * 32 + 13 * 32 = 12704, and the last norm's 64: 30080 numbers, 120320 bytes.
  const int64_t numbers = 30080, bytes = 120320;
  REQUIRE(ShardPlan(kSmall, 1).padded_vocab() == 128);
  for (int zero : {0, 1, 2}) {
    INFO("ZeRO " << zero);
    const Events events = step({.tp = 1, .dp = 2, .zero = static_cast<Zero>(zero)});
    CHECK(count(events, Phase::backward, Op::all_reduce, 1) == 1);  // the loss
    CHECK(count(events, Phase::backward, Op::all_reduce, numbers) == (zero < 2 ? 1 : 0));
    CHECK(count(events, Phase::backward, Op::reduce_scatter, numbers) == (zero < 2 ? 0 : 1));
    CHECK(count(events, Phase::optimizer, Op::all_reduce, 1) == (zero < 2 ? 0 : 1));
    CHECK(count(events, Phase::optimizer, Op::all_gather, numbers) == (zero > 0 ? 1 : 0));
    CHECK(over(events, Axis::tp).empty());
    // An all-reduce sends 2 (d-1)/d of the bytes, a gather and a scatter (d-1)/d each. The scalars
    // are 8 bytes over a ring of 2: what rank 0 sends of one is counted from its own formula.
    const Events parts =
        where(events, [&](const PredictedEvent& e) { return e.elements == numbers; });
    CHECK(wire_bytes(parts) == (zero == 1 ? 2 * bytes / 2 + bytes / 2 : 2 * bytes / 2));
  }
}

TEST_CASE("predict_step: gradients go in buckets of 25 MiB, the last one smaller") {
  // GPT-2 padded to 50304: 124,475,904 numbers are 18.99 buckets of 6,553,600.
  const Events events =
      predict_step(ShardPlan(find_preset("gpt2").config, 1), {.dp = 2}, kShape, 0);
  CHECK(count(events, Phase::backward, Op::all_reduce, 6'553'600) == 18);
  CHECK(count(events, Phase::backward, Op::all_reduce, 124'475'904 - 18 * 6'553'600) == 1);
}

TEST_CASE("predict_step: each micro-batch communicates for itself, gradients once a step") {
  const Events one = step({.tp = 2, .dp = 2, .sp = true});
  const Events three = step({.tp = 2, .dp = 2, .sp = true, .accumulation = 3});
  CHECK(count(three, Phase::forward, Op::all_gather, kStream) == 15);
  CHECK(count(three, Phase::backward, Op::reduce_scatter, kStream) == 15);
  CHECK(count(three, Phase::backward, Op::all_reduce, 448) == 1);
  CHECK(over(three, Axis::dp).size() == over(one, Axis::dp).size());
}

TEST_CASE("first_disagreement: a prediction that is off by one in anything is refuted") {
  const Parallelism mesh{.tp = 2, .dp = 2, .sp = true, .zero = Zero::gradients};
  VerifyOptions options = small_options({mesh});
  options.dtypes = {DType::f32};
  options.algorithm = Algorithm::ring;
  const Report report = verify(*small_weights(), options);
  REQUIRE(report.good());
  const std::vector<Event>& counted = report.runs[0].events[0];
  const Events right = step(mesh);
  REQUIRE(counted.size() > 20);
  REQUIRE(first_disagreement(right, counted) == "");
  for (size_t i = 0; i < right.size(); ++i) {
    const auto refuted = [&](const std::function<void(PredictedEvent&)>& change) {
      Events wrong = right;
      change(wrong[i]);
      return first_disagreement(wrong, counted).starts_with(fmt::format("collective {}:", i));
    };
    CHECK(refuted([](PredictedEvent& e) { ++e.elements; }));
    CHECK(refuted([](PredictedEvent& e) { --e.payload_bytes; }));
    CHECK(refuted([](PredictedEvent& e) { ++e.wire_bytes; }));
    CHECK(refuted([](PredictedEvent& e) { e.site += "x"; }));
    CHECK(refuted([](PredictedEvent& e) { e.op = Op::broadcast; }));
    CHECK(refuted([](PredictedEvent& e) { e.axis = e.axis == Axis::tp ? Axis::dp : Axis::tp; }));
    CHECK(refuted([](PredictedEvent& e) {
      e.phase = e.phase == Phase::forward ? Phase::backward : Phase::forward;
    }));
    Events one_less = right, one_more = right;
    one_less.erase(one_less.begin() + static_cast<int64_t>(i));
    one_more.insert(one_more.begin() + static_cast<int64_t>(i), right[i]);
    CHECK(first_disagreement(one_less, counted) != "");
    CHECK(first_disagreement(one_more, counted) != "");
  }
}

TEST_CASE(
    "verify --backward: a step that gathers again where it was to keep is caught by the ledger") {
  VerifyOptions options = small_options({{.tp = 2, .sp = true}});
  options.breakage.trainer = [](Rank& rank, const WeightSource& source, TrainerOptions how) {
    how.parallelism.regather = true;  // the same numbers, five gathers more
    return make_trainer(rank, source, how);
  };
  check_caught(verify(*small_weights(), options), "ledger");
}
