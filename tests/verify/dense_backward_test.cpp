// Each dense layer's backward against central differences of its forward, and against mutants of
// itself, in which a term is left out.
#include "verify/reference/dense_backward.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "finite_differences.h"

using namespace tplab;
using tplab::testing::agrees;
using tplab::testing::Derivative;
using tplab::testing::differentiate;

namespace {

using Numbers = std::vector<double>;

// Different at every index, of either sign, none zero or one.
Numbers operand(double seed, size_t count, double middle = 0) {
  Numbers values;
  for (size_t i = 0; i < count; ++i)
    values.push_back(middle + 0.9 * std::sin(seed + 1.7 * static_cast<double>(i)));
  return values;
}

// Sharp enough to tell a missing term of a thousandth from rounding.
bool sharp(const Derivative& d) {
  double largest = 0;
  for (const double v : d.values) largest = std::max(largest, std::abs(v));
  return d.bound < 1e-5 * largest;
}

Numbers scaled(Numbers values, double factor) {
  for (double& v : values) v *= factor;
  return values;
}

}  // namespace

#define CHECK_GRADIENT(gradient, expected) \
  do {                                     \
    const Derivative e = (expected);       \
    CHECK(sharp(e));                       \
    CHECK(agrees((gradient), e));          \
  } while (false)

TEST_CASE("linear backward: x, weight and bias, against differences") {
  const Numbers x = operand(1, 3 * 5), w = operand(2, 4 * 5), b = operand(3, 4);
  const Numbers dy = operand(4, 3 * 4);
  const auto layer = [](const Numbers& x_, const Numbers& w_, const Numbers& b_) {
    return dense::Linear<double>{.x = x_, .weight = w_, .bias = b_, .in = 5, .out = 4};
  };
  const auto d = dense::linear_backward<double>(layer(x, w, b), dy);
  CHECK_GRADIENT(
      d.x, differentiate([&](const Numbers& v) { return dense::linear(layer(v, w, b)); }, x, dy));
  CHECK_GRADIENT(
      d.weight,
      differentiate([&](const Numbers& v) { return dense::linear(layer(x, v, b)); }, w, dy));
  const Derivative bias =
      differentiate([&](const Numbers& v) { return dense::linear(layer(x, w, v)); }, b, dy);
  CHECK_GRADIENT(d.bias, bias);
  CHECK(dense::linear_backward<double>(layer(x, w, {}), dy).bias.empty());

  // A mutant: the bias's gradient without the last row.
  Numbers short_sum = d.bias;
  for (size_t j = 0; j < 4; ++j) short_sum[j] -= dy[2 * 4 + j];
  CHECK_FALSE(agrees(short_sum, bias));
}

TEST_CASE("layer norm backward: x, weight and bias, against differences") {
  const Numbers x = operand(1, 3 * 7, 0.3), w = operand(2, 7, 1), b = operand(3, 7);
  const Numbers dy = operand(4, 3 * 7);
  const double eps = 0.01;
  const auto layer = [&](const Numbers& x_, const Numbers& w_, const Numbers& b_) {
    return dense::Norm<double>{.x = x_, .weight = w_, .bias = b_, .C = 7, .eps = eps};
  };
  const auto d = dense::norm_backward<double>(layer(x, w, b), dy);
  const Derivative dx =
      differentiate([&](const Numbers& v) { return dense::norm(layer(v, w, b)); }, x, dy);
  CHECK_GRADIENT(d.x, dx);
  CHECK_GRADIENT(
      d.weight,
      differentiate([&](const Numbers& v) { return dense::norm(layer(x, v, b)); }, w, dy));
  CHECK_GRADIENT(
      d.bias, differentiate([&](const Numbers& v) { return dense::norm(layer(x, w, v)); }, b, dy));
  CHECK(dense::norm_backward<double>(layer(x, w, {}), dy).bias.empty());

  // Mutants: mean and variance taken for constants, each in turn.
  Numbers no_mean, no_variance;
  for (size_t row = 0; row < 21; row += 7) {
    double mean = 0, variance = 0, mean_g = 0, mean_gz = 0;
    for (size_t j = row; j < row + 7; ++j) mean += x[j] / 7;
    for (size_t j = row; j < row + 7; ++j) variance += (x[j] - mean) * (x[j] - mean) / 7;
    const double rstd = 1 / std::sqrt(variance + eps);
    for (size_t j = row; j < row + 7; ++j) mean_g += dy[j] * w[j - row] / 7;
    for (size_t j = row; j < row + 7; ++j) mean_gz += dy[j] * w[j - row] * (x[j] - mean) * rstd / 7;
    for (size_t j = row; j < row + 7; ++j) {
      no_mean.push_back(d.x[j] + rstd * mean_g);
      no_variance.push_back(d.x[j] + rstd * rstd * (x[j] - mean) * mean_gz);
    }
  }
  CHECK_FALSE(agrees(no_mean, dx));
  CHECK_FALSE(agrees(no_variance, dx));
}

TEST_CASE("RMS norm backward: x and weight, against differences, with and without the 1") {
  const Numbers x = operand(1, 3 * 7, 0.3), w = operand(2, 7, 1), dy = operand(4, 3 * 7);
  for (const bool plus_one : {false, true}) {
    const auto layer = [&](const Numbers& x_, const Numbers& w_) {
      return dense::Norm<double>{.x = x_,
                                 .weight = w_,
                                 .bias = {},
                                 .C = 7,
                                 .eps = 0.01,
                                 .rms = true,
                                 .plus_one = plus_one};
    };
    const auto d = dense::norm_backward<double>(layer(x, w), dy);
    const Derivative dx =
        differentiate([&](const Numbers& v) { return dense::norm(layer(v, w)); }, x, dy);
    CHECK_GRADIENT(d.x, dx);
    CHECK_GRADIENT(
        d.weight, differentiate([&](const Numbers& v) { return dense::norm(layer(x, v)); }, w, dy));
    auto other = layer(x, w);  // a mutant: a layer norm's
    other.rms = false;
    CHECK_FALSE(agrees(dense::norm_backward<double>(other, dy).x, dx));
  }
}

TEST_CASE("activation backward: every kind, against differences, and none is another") {
  const Numbers x = {-7, -3.5, -1.25, -0.5, -0.01, 0.02, 0.75, 1.5, 2.5, 6};
  const Numbers dy = operand(4, x.size());
  const ActivationKind all[] = {ActivationKind::gelu, ActivationKind::gelu_tanh,
                                ActivationKind::silu, ActivationKind::quick_gelu,
                                ActivationKind::relu, ActivationKind::tanh};
  for (const ActivationKind kind : all) {
    const Derivative expected =
        differentiate([&](const Numbers& v) { return dense::activation<double>(v, kind); }, x, dy);
    for (const ActivationKind other : all)
      CHECK(agrees(dense::activation_backward<double>(x, other, dy), expected) == (other == kind));
  }
}

TEST_CASE("gated backward: against differences, and what is clamped has none") {
  const Numbers x = operand(1, 3 * 8), dy = operand(2, 3 * 4);
  for (const Gating& gating : {Gating{.kind = Gating::Kind::gated},
                               Gating{.kind = Gating::Kind::clamped, .limit = 0.5, .alpha = 1.7}}) {
    const auto layer = [&](const Numbers& v) {
      return dense::Gated<double>{.x = v, .F = 4, .kind = ActivationKind::silu, .gating = gating};
    };
    const Derivative expected =
        differentiate([&](const Numbers& v) { return dense::gated(layer(v)); }, x, dy);
    Numbers d = dense::gated_backward<double>(layer(x), dy);
    CHECK_GRADIENT(d, expected);
    for (size_t row = 0; row < 24; row += 8)  // a mutant: gates and what they let through exchanged
      std::swap_ranges(d.begin() + static_cast<std::ptrdiff_t>(row),
                       d.begin() + static_cast<std::ptrdiff_t>(row) + 4,
                       d.begin() + static_cast<std::ptrdiff_t>(row) + 4);
    CHECK_FALSE(agrees(d, expected));
  }
}

TEST_CASE("soft cap and turn backward: against differences") {
  const Numbers x = operand(1, 2 * 3 * 6), dy = operand(2, 2 * 3 * 6);
  const Numbers y = dense::soft_cap<double>(x, 0.7);
  CHECK_GRADIENT(
      dense::soft_cap_backward<double>(y, 0.7, dy),
      differentiate([](const Numbers& v) { return dense::soft_cap<double>(v, 0.7); }, x, dy));
  for (const Rope& rope :
       {Rope{.rotated = 4},
        Rope{.rotated = 6,
        .scaling = {.kind = Rope::Kind::yarn, .factor = 4, .original_context = 64}}}) {
    const dense::Turn angles{.T = 3, .D = 6, .rope = rope};
    const Derivative expected =
        differentiate([&](const Numbers& v) { return dense::turn<double>(v, angles); }, x, dy);
    CHECK_GRADIENT(dense::turn_backward<double>(dy, angles), expected);
    CHECK_FALSE(agrees(dense::turn<double>(dy, angles), expected));  // a mutant: the other way
  }
}

TEST_CASE("split heads backward: each part's gradient goes where the part came from") {
  const Numbers qkv = operand(1, 2 * 3 * 12), dy = operand(2, 2 * 2 * 3 * 2);
  Numbers sum(qkv.size(), 0.0);
  for (const int64_t part : {0, 1, 2}) {
    const auto layer = [&](const Numbers& v) {
      return dense::SplitHeads<double>{
          .x = v, .B = 2, .T = 3, .width = 12, .first = 4 * part, .H = 2, .D = 2};
    };
    const Numbers d = dense::split_heads_backward<double>(layer(qkv), dy);
    const Derivative expected =
        differentiate([&](const Numbers& v) { return dense::split_heads(layer(v)); }, qkv, dy);
    CHECK_GRADIENT(d, expected);
    for (size_t i = 0; i < d.size(); ++i) {
      CHECK((d[i] == 0 || sum[i] == 0));  // no two parts share a column
      sum[i] += d[i];
    }
    const auto other = dense::SplitHeads<double>{
        .x = qkv, .B = 2, .T = 3, .width = 12, .first = 4 * ((part + 1) % 3), .H = 2, .D = 2};
    CHECK_FALSE(agrees(dense::split_heads_backward<double>(other, dy), expected));
  }
}

TEST_CASE(
    "attention scores backward: q and k, against differences, and what is masked pulls nothing") {
  const int64_t N = 2, T = 4, D = 3;
  const Numbers q = operand(1, 24), k = operand(2, 24);
  Numbers dscores = operand(3, 32);  // where masked, too: a gradient there must not count
  const auto layer = [&](const Numbers& q_, const Numbers& k_) {
    return dense::Scores<double>{
        .q = q_, .k = k_, .B = 1, .H = N, .K = N, .T = T, .D = D, .scale = 1 / std::sqrt(3.0)};
  };
  const auto d = dense::attention_scores_backward<double>(layer(q, k), {}, dscores);
  const Derivative dq = differentiate(
      [&](const Numbers& v) { return dense::attention_scores(layer(v, k)); }, q, dscores);
  const Derivative dk = differentiate(
      [&](const Numbers& v) { return dense::attention_scores(layer(q, v)); }, k, dscores);
  CHECK_GRADIENT(d.q, dq);
  CHECK_GRADIENT(d.k, dk);

  // Mutants: the scale left out; one masked score let through; q and k exchanged.
  CHECK_FALSE(agrees(scaled(d.q, std::sqrt(3.0)), dq));
  Numbers leaked = d.k;
  for (size_t j = 0; j < 3; ++j) leaked[1 * 3 + j] += dscores[1] * q[j] / std::sqrt(3.0);
  CHECK_FALSE(agrees(leaked, dk));
  CHECK_FALSE(agrees(d.k, dq));

  dscores[1] = std::numeric_limits<double>::quiet_NaN();  // masked: query 0, key 1
  const auto masked = dense::attention_scores_backward<double>(layer(q, k), {}, dscores);
  CHECK(compare(masked.q, d.q, {24}).max_abs <= 1e-15);
  CHECK(compare(masked.k, d.k, {24}).max_abs <= 1e-15);
}

TEST_CASE("softmax backward: against differences, and a masked score has no gradient") {
  Numbers x = operand(1, 3 * 5);
  const Numbers dy = operand(2, 3 * 5);
  const auto forward = [](const Numbers& v) {
    return dense::softmax<double>({.x = v, .width = 5});
  };
  const Derivative expected = differentiate(forward, x, dy);
  CHECK_GRADIENT(dense::softmax_backward<double>({.x = x, .width = 5}, dy).x, expected);

  // A mutant: y dy alone, as if each were on its own.
  Numbers alone = forward(x);
  for (size_t i = 0; i < alone.size(); ++i) alone[i] *= dy[i];
  CHECK_FALSE(agrees(alone, expected));

  x[7] = -std::numeric_limits<double>::infinity();
  const Numbers d = dense::softmax_backward<double>({.x = x, .width = 5}, dy).x;
  CHECK(d[7] == 0);
  CHECK(agrees(d, differentiate(forward, x, dy)));
}

TEST_CASE("mix heads backward: softmax and values, against differences") {
  const Numbers p = operand(1, 2 * 2 * 3 * 3), v = operand(2, 2 * 2 * 3 * 4);
  const Numbers dy = operand(3, 2 * 3 * 2 * 4);
  const auto layer = [&](const Numbers& p_, const Numbers& v_) {
    return dense::MixHeads<double>{.softmax = p_, .v = v_, .B = 2, .H = 2, .K = 2, .T = 3, .D = 4};
  };
  const auto d = dense::mix_heads_backward<double>(layer(p, v), dy);
  CHECK_GRADIENT(
      d.softmax,
      differentiate([&](const Numbers& at) { return dense::mix_heads(layer(at, v)); }, p, dy));
  const Derivative dv =
      differentiate([&](const Numbers& at) { return dense::mix_heads(layer(p, at)); }, v, dy);
  CHECK_GRADIENT(d.v, dv);

  // A mutant: dy's heads not brought together, [B, T, H, D] taken for [B, H, T, D].
  Numbers regrouped;
  for (size_t b = 0; b < 2; ++b)
    for (size_t t = 0; t < 3; ++t)
      for (size_t h = 0; h < 2; ++h)
        for (size_t j = 0; j < 4; ++j) regrouped.push_back(dy[((b * 2 + h) * 3 + t) * 4 + j]);
  CHECK_FALSE(agrees(dense::mix_heads_backward<double>(layer(p, v), regrouped).v, dv));
}

TEST_CASE("attention backward: keys and values that heads share, windows, caps and sinks") {
  const int64_t B = 2, H = 4, K = 2, T = 3, D = 2;
  const Numbers q = operand(1, 48), k = operand(2, 24), v = operand(3, 24), sinks = operand(4, 4);
  const Numbers dy = operand(5, 48);
  for (const double softcap : {0.0, 0.3})
    for (const int64_t window : {0, 2}) {
      const auto scores = [&](const Numbers& q_, const Numbers& k_) {
        return dense::Scores<double>{.q = q_,
                                     .k = k_,
                                     .B = B,
                                     .H = H,
                                     .K = K,
                                     .T = T,
                                     .D = D,
                                     .scale = 0.6,
                                     .window = window,
                                     .softcap = softcap};
      };
      const auto shares = [&](const Numbers& x, const Numbers& sinks_) {
        return dense::Softmax<double>{.x = x, .width = T, .sinks = sinks_, .rows_of_sink = T};
      };
      const auto mix = [&](const Numbers& p, const Numbers& v_) {
        return dense::MixHeads<double>{
            .softmax = p, .v = v_, .B = B, .H = H, .K = K, .T = T, .D = D};
      };
      const auto all = [&](const Numbers& q_, const Numbers& k_, const Numbers& v_,
                           const Numbers& sinks_) {
        const Numbers s = dense::attention_scores(scores(q_, k_));
        const Numbers p = dense::softmax(shares(s, sinks_));
        return dense::mix_heads(mix(p, v_));
      };
      const Numbers s = dense::attention_scores(scores(q, k)), p = dense::softmax(shares(s, sinks));
      const auto mixed = dense::mix_heads_backward<double>(mix(p, v), dy);
      const auto shared = dense::softmax_backward<double>(shares(s, sinks), mixed.softmax);
      const auto scored = dense::attention_scores_backward<double>(scores(q, k), s, shared.x);
      CHECK_GRADIENT(scored.q,
                     differentiate([&](const Numbers& x) { return all(x, k, v, sinks); }, q, dy));
      CHECK_GRADIENT(scored.k,
                     differentiate([&](const Numbers& x) { return all(q, x, v, sinks); }, k, dy));
      CHECK_GRADIENT(mixed.v,
                     differentiate([&](const Numbers& x) { return all(q, k, x, sinks); }, v, dy));
      const Derivative dsinks =
          differentiate([&](const Numbers& x) { return all(q, k, v, x); }, sinks, dy);
      CHECK_GRADIENT(shared.sinks, dsinks);
      CHECK_FALSE(agrees(scaled(shared.sinks, -1), dsinks));
    }
}

TEST_CASE("cross-entropy backward: against differences, targets of -1 left out") {
  const Numbers logits = operand(1, 4 * 5);
  const std::vector<int> targets = {2, -1, 0, 4};
  const auto layer = [&](const Numbers& v) {
    return dense::CrossEntropy<double>{.logits = v, .targets = targets, .V = 5};
  };
  const Numbers d = dense::cross_entropy_backward<double>(layer(logits));
  const Derivative expected = differentiate(
      [&](const Numbers& v) { return Numbers{dense::cross_entropy(layer(v))}; }, logits, {1});
  CHECK_GRADIENT(d, expected);
  CHECK(Numbers(d.begin() + 5, d.begin() + 10) == Numbers(5, 0.0));

  // Mutants: the mean over all rows; the softmax without the target's 1.
  CHECK_FALSE(agrees(scaled(d, 0.75), expected));
  Numbers no_target = d;
  no_target[2] += 1 / 3.0;
  CHECK_FALSE(agrees(no_target, expected));

  // As PyTorch has it: the loss is 0/0, and nothing pulls.
  const std::vector<int> none(4, -1);
  CHECK(dense::cross_entropy_backward<double>({.logits = logits, .targets = none, .V = 5}) ==
        Numbers(20, 0.0));
}

TEST_CASE("embedding backward: an id that occurs twice gets both gradients") {
  const Numbers table = operand(1, 5 * 3), dy = operand(2, 4 * 3);
  const std::vector<int> ids = {3, 1, 3, 0};
  const auto layer = [&](const Numbers& v) {
    return dense::Embedding<double>{.table = v, .ids = ids, .C = 3};
  };
  const Derivative expected =
      differentiate([&](const Numbers& v) { return dense::embedding(layer(v)); }, table, dy);
  const Numbers d = dense::embedding_backward<double>(ids, 5, 3, dy);
  CHECK_GRADIENT(d, expected);
  CHECK(Numbers(d.begin() + 6, d.begin() + 9) == Numbers(3, 0.0));  // 2 does not occur

  Numbers last_only = d;  // a mutant: the later overwrites the earlier
  for (size_t j = 0; j < 3; ++j) last_only[9 + j] = dy[6 + j];
  CHECK_FALSE(agrees(last_only, expected));
}
