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
  const Numbers y = dense::layer_norm<double>({.x = x, .weight = w, .bias = b, .C = 4, .eps = 4});
  const Numbers expected = {10 - 1.0, 20 - 2 / 3.0, 30 + 1.0, 40 + 4.0};
  CHECK(compare(y, expected, {4}).max_rel <= 1e-15);
  const Numbers bare =
      dense::layer_norm<double>({.x = x, .weight = w, .bias = {}, .C = 4, .eps = 4});
  CHECK(compare(bare, Numbers{-1, -2 / 3.0, 1, 4}, {4}).max_rel <= 1e-15);
}

TEST_CASE("gelu: the exact form, its tanh approximation, and how far they are apart") {
  const Numbers x = {-1, 0, 1, 2};
  // x Phi(x) with Phi(1) = 0.841344746068543, Phi(2) = 0.977249868051821 (tables of the normal).
  const Numbers exact = dense::gelu<double>(x, Gelu::erf);
  CHECK(compare(exact, Numbers{-0.158655253931457, 0, 0.841344746068543, 1.954499736103642}, {4})
            .max_abs <= 2e-15);
  // The formula at 1: 0.5 (1 + tanh(0.797884560802865 * 1.044715)) = 0.841191990608...
  const Numbers approximate = dense::gelu<double>(x, Gelu::tanh);
  CHECK(approximate[2] == Approx(0.8411919906082768).epsilon(1e-15));
  // Both are odd about x/2: gelu(x) - gelu(-x) = x.
  CHECK(approximate[2] - approximate[0] == Approx(1).epsilon(1e-15));
  const Difference apart = compare(approximate, exact, {4});
  CHECK(apart.max_abs > 1e-4);
  CHECK(apart.max_abs < 5e-4);
}

TEST_CASE("softmax: exact ratios, no overflow, masked scores weigh nothing") {
  const double three = std::log(3.0);
  CHECK(compare(dense::softmax<double>(Numbers{0, three, 1000, 1000 + three}, 2),
                Numbers{0.25, 0.75, 0.25, 0.75}, {4})
            .max_abs <= 1e-13);  // 1000 + log 3 keeps log 3 to 1000 * 2^-53
  CHECK(dense::softmax<double>(Numbers{5, -kInfinite}, 2) == Numbers{1, 0});
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
    return dense::split_heads<double>({.qkv = qkv, .B = 1, .T = 2, .H = 1, .D = 2, .part = which});
  };
  CHECK(part(1) == Numbers{2, 0, 1, 3});
  const Numbers scores =
      dense::attention_scores<double>({.q = part(0), .k = part(1), .N = 1, .T = 2, .D = 2});
  CHECK(compare(scores, Numbers{std::sqrt(2), -kInfinite, 0, 3 * std::sqrt(2)}, {4}).max_rel <=
        1e-15);
  const Numbers v = part(2), weights = {1, 0, 0.25, 0.75};
  CHECK(dense::mix_heads<double>({.softmax = weights, .v = v, .B = 1, .H = 1, .T = 2, .D = 2}) ==
        Numbers{10, 20, 25, 35});
}

TEST_CASE("heads: head h of part p begins at column p C + h D of qkv") {
  Numbers qkv;
  for (int i = 0; i < 2 * 3 * 12; ++i) qkv.push_back(i);  // B 2, T 3, C 4, H 2, D 2
  const Numbers k =
      dense::split_heads<double>({.qkv = qkv, .B = 2, .T = 3, .H = 2, .D = 2, .part = 1});
  CHECK(k == Numbers{4,  5,  16, 17, 28, 29, 6,  7,  18, 19, 30, 31,
                     40, 41, 52, 53, 64, 65, 42, 43, 54, 55, 66, 67});
}
