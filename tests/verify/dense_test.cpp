// The dense layers against values worked out by hand.
#include "verify/reference/dense.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "verify/compare.h"

using namespace tplab;

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("linear: y = x W^T + b, with the weight stored a row for each output") {
  const Numbers x = {1, 2, 3, 4}, w = {1, 10, 2, 20, 3, 30}, b = {0.5, -0.5, 0.25};
  CHECK(dense::linear<double>({.x = x, .weight = w, .bias = b, .in = 2, .out = 3}) ==
        Numbers{21.5, 41.5, 63.25, 43.5, 85.5, 129.25});
  CHECK(dense::linear<double>({.x = x, .weight = w, .bias = {}, .in = 2, .out = 3}) ==
        Numbers{21, 42, 63, 43, 86, 129});
}

TEST_CASE("layer norm: deviations over the root of their mean square plus eps, scaled, shifted") {
  // mean 3, variance 5; eps 4 makes the root 3.
  const Numbers x = {0, 2, 4, 6}, w = {1, 2, 3, 4}, b = {10, 20, 30, 40};
  const Numbers y = dense::norm<double>({.x = x, .weight = w, .bias = b, .C = 4, .eps = 4});
  const Numbers expected = {10 - 1.0, 20 - 2 / 3.0, 30 + 1.0, 40 + 4.0};
  CHECK(compare(y, expected, {4}).max_rel <= 1e-15);
  const Numbers bare = dense::norm<double>({.x = x, .weight = w, .bias = {}, .C = 4, .eps = 4});
  CHECK(compare(bare, Numbers{-1, -2 / 3.0, 1, 4}, {4}).max_rel <= 1e-15);
}

TEST_CASE("gelu: the exact form, its tanh approximation, and how far they are apart") {
  const Numbers x = {-1, 0, 1, 2};
  // x Phi(x) with Phi(1) = 0.841344746068543, Phi(2) = 0.977249868051821 (tables of the normal).
  const Numbers exact = dense::activation<double>(x, ActivationKind::gelu);
  CHECK(compare(exact, Numbers{-0.158655253931457, 0, 0.841344746068543, 1.954499736103642}, {4})
            .max_abs <= 2e-15);
  // The formula at 1: 0.5 (1 + tanh(0.797884560802865 * 1.044715)) = 0.841191990608...
  const Numbers approximate = dense::activation<double>(x, ActivationKind::gelu_tanh);
  CHECK(approximate[2] == Approx(0.8411919906082768).epsilon(1e-15));
  // Both are odd about x/2: gelu(x) - gelu(-x) = x.
  CHECK(approximate[2] - approximate[0] == Approx(1).epsilon(1e-15));
  const Difference apart = compare(approximate, exact, {4});
  CHECK(apart.max_abs > 1e-4);
  CHECK(apart.max_abs < 5e-4);
}

TEST_CASE("softmax: exact ratios, no overflow, masked scores weigh nothing") {
  const double three = std::log(3.0);
  const auto softmax = [](const Numbers& x) {
    return dense::softmax<double>({.x = x, .width = 2});
  };
  CHECK(compare(softmax({0, three, 1000, 1000 + three}), Numbers{0.25, 0.75, 0.25, 0.75}, {4})
            .max_abs <= 1e-13);  // 1000 + log 3 keeps log 3 to 1000 * 2^-53
  CHECK(softmax({5, -kInfinite}) == Numbers{1, 0});
}

TEST_CASE("cross-entropy: the mean of -log softmax over the targets that are not -1") {
  const Numbers logits = {0, std::log(3.0), 1000, 1000, 7, 8};
  const std::vector<int> targets = {0, 1, -1}, none = {-1, -1, -1};
  CHECK(dense::cross_entropy<double>({.logits = logits, .targets = targets, .V = 2}) ==
        Approx((std::log(4.0) + std::log(2.0)) / 2).epsilon(1e-15));
  CHECK(std::isnan(dense::cross_entropy<double>({.logits = logits, .targets = none, .V = 2})));
}

TEST_CASE("attention: by hand, two tokens, one head") {
  const Numbers qkv = {1, 0, 2, 0, 10, 20,   // token 0: q, k, v
                       0, 2, 1, 3, 30, 40};  // token 1
  const auto part = [&](int64_t which) {
    return dense::split_heads<double>(
        {.x = qkv, .B = 1, .T = 2, .width = 6, .first = 2 * which, .H = 1, .D = 2});
  };
  const Numbers q = part(0), k = part(1);
  CHECK(k == Numbers{2, 0, 1, 3});
  const Numbers scores = dense::attention_scores<double>(
      {.q = q, .k = k, .B = 1, .H = 1, .K = 1, .T = 2, .D = 2, .scale = 1 / std::sqrt(2)});
  CHECK(compare(scores, Numbers{std::sqrt(2), -kInfinite, 0, 3 * std::sqrt(2)}, {4}).max_rel <=
        1e-15);
  const Numbers v = part(2), weights = {1, 0, 0.25, 0.75};
  CHECK(dense::mix_heads<double>(
            {.softmax = weights, .v = v, .B = 1, .H = 1, .K = 1, .T = 2, .D = 2}) ==
        Numbers{10, 20, 25, 35});
}

TEST_CASE("heads: head h begins h D columns after the first") {
  Numbers qkv;
  for (int i = 0; i < 2 * 3 * 12; ++i) qkv.push_back(i);  // B 2, T 3, C 4, H 2, D 2
  const Numbers k = dense::split_heads<double>(
      {.x = qkv, .B = 2, .T = 3, .width = 12, .first = 4, .H = 2, .D = 2});
  CHECK(k == Numbers{4,  5,  16, 17, 28, 29, 6,  7,  18, 19, 30, 31,
                     40, 41, 52, 53, 64, 65, 42, 43, 54, 55, 66, 67});
}

TEST_CASE("RMS norm: over the root of the mean square plus eps, times a weight or 1 + weight") {
  // Mean square 5, eps 4: the root is 3.
  const Numbers x = {1, 3, -3, 1}, w = {1, 2, 3, 4};
  dense::Norm<double> l{.x = x, .weight = w, .bias = {}, .C = 4, .eps = 4, .rms = true};
  CHECK(compare(dense::norm(l), Numbers{1 / 3.0, 2, -3, 4 / 3.0}, {4}).max_rel <= 1e-15);
  l.plus_one = true;
  CHECK(compare(dense::norm(l), Numbers{2 / 3.0, 3, -4, 5 / 3.0}, {4}).max_rel <= 1e-15);
}

TEST_CASE("activations: silu, quick_gelu, relu and tanh at a few points") {
  const auto at = [](ActivationKind kind, double x) {
    return dense::activation<double>(Numbers{x}, kind)[0];
  };
  CHECK(at(ActivationKind::silu, std::log(3.0)) == Approx(0.75 * std::log(3.0)).epsilon(1e-15));
  CHECK(at(ActivationKind::quick_gelu, std::log(3.0) / 1.702) ==
        Approx(0.75 * std::log(3.0) / 1.702).epsilon(1e-15));
  CHECK(at(ActivationKind::relu, -2) == 0);
  CHECK(at(ActivationKind::relu, 2) == 2);
  CHECK(at(ActivationKind::tanh, std::log(2.0)) == Approx(0.6).epsilon(1e-15));
}

TEST_CASE("gated: the gates come first, and gpt-oss clamps both") {
  const double three = std::log(3.0);
  const Numbers x = {three, 0, 5, 7, -three, three, 1, 2};  // two rows of two gates and two numbers
  const auto run = [&](const Gating& gating) {
    return dense::gated<double>({.x = x, .F = 2, .kind = ActivationKind::silu, .gating = gating});
  };
  CHECK(compare(run({.kind = Gating::Kind::gated}),
                Numbers{0.75 * three * 5, 0, -0.25 * three, 0.75 * three * 2}, {4})
            .max_abs <= 1e-14);
  // Limit 1, alpha log 3: gates above 1 are 1, whose sigmoid is 0.75; what they let through is
  // within -1 .. 1, and 1 more.
  const Numbers clamped = run({.kind = Gating::Kind::clamped, .limit = 1, .alpha = three});
  CHECK(clamped[0] == Approx(0.75 * 2).epsilon(1e-15));
  CHECK(clamped[1] == 0);
  CHECK(clamped[2] == Approx(-three / (1 + std::exp(three * three)) * 2).epsilon(1e-14));
}

TEST_CASE("turn: by halves, each pair by its own frequency, the rest left alone") {
  // theta 1e4, two pairs: angles t and t / 100. Position 0 is not turned.
  const Numbers x = {1, 2, 3, 4, 9, 1, 2, 3, 4, 9};
  const Numbers y = dense::turn<double>(x, {.T = 2, .D = 5, .rope = {.rotated = 4}});
  CHECK(Numbers(y.begin(), y.begin() + 5) == Numbers{1, 2, 3, 4, 9});
  const double c = std::cos(1), s = std::sin(1), c2 = std::cos(0.01), s2 = std::sin(0.01);
  CHECK(compare(Numbers(y.begin() + 5, y.end()),
                Numbers{c - 3 * s, 2 * c2 - 4 * s2, 3 * c + s, 4 * c2 + 2 * s2, 9}, {5})
            .max_abs <= 1e-15);
}

TEST_CASE("attention: shared keys, a window and a cap, and a sink that takes its share") {
  const Numbers q = {1, 2, 3, 4, 5, 6},
                k = {1, 10, 100};  // 2 heads of 3 positions, 1 key head, D 1
  const Numbers scores = dense::attention_scores<double>(
      {.q = q, .k = k, .B = 1, .H = 2, .K = 1, .T = 3, .D = 1, .scale = 0.5, .window = 2});
  const Numbers expected = {0.5, -kInfinite, -kInfinite, 1,   10, -kInfinite, -kInfinite, 15, 150,
                            2,   -kInfinite, -kInfinite, 2.5, 25, -kInfinite, -kInfinite, 30, 300};
  CHECK(scores == expected);
  const Numbers capped = dense::attention_scores<double>(
      {.q = q, .k = k, .B = 1, .H = 2, .K = 1, .T = 3, .D = 1, .scale = 0.5, .softcap = 20});
  CHECK(capped[4] == Approx(20 * std::tanh(0.5)).epsilon(1e-15));
  CHECK(capped[1] == -kInfinite);

  const double three = std::log(3.0);
  const Numbers rows = {0, three, 0, three, 0, 0, 0, 0}, sinks = {std::log(4.0), 0};
  const Numbers share = dense::softmax<double>(
      {.x = rows, .width = 2, .sinks = sinks, .rows_of_sink = 2});  // 2 heads of 2 queries
  CHECK(compare(share,
                Numbers{1 / 8.0, 3 / 8.0, 1 / 8.0, 3 / 8.0, 1 / 3.0, 1 / 3.0, 1 / 3.0, 1 / 3.0},
                {8})
            .max_abs <= 1e-15);
}
