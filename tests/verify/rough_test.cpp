// Rough numbers err as a computer's do, and no less.
#include "verify/reference/rough.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <random>
#include <vector>

#include "verify/draws.h"
#include "verify/reference/dense_product.h"

using namespace tplab;

namespace {

using Rough32 = Rough<DType::f32>;
using Rough64 = Rough<DType::f64>;
using Rough16 = Rough<DType::bf16>;  // bf16

double of(auto x) { return static_cast<double>(x); }

double root_mean_square(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v * v;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace

TEST_CASE("Rough: an operation is off by at most a roundoff, by u/√3 in the mean") {
  std::vector<double> errors;
  for (int i = 1; i <= 4000; ++i) {
    const double exact = 1.0 / i + 3.0 * i;
    errors.push_back((of(Rough32(1.0 / i) + Rough32(3.0 * i)) - exact) / exact / 0x1p-24);
    REQUIRE(std::abs(errors.back()) <= 1);
    REQUIRE(std::abs(of(Rough64(1.0 / i) + Rough64(3.0 * i)) - exact) <=
            1.001 * Rough64::kRoundoff * exact);
  }
  CHECK(root_mean_square(errors) == Approx(1 / std::sqrt(3)).epsilon(0.05));
  double mean = 0;
  for (double e : errors) mean += e / 4000;
  CHECK(std::abs(mean) < 0.05);
}

TEST_CASE("Rough: zero is exact, a sign stays, and what is not finite stays what it is") {
  CHECK(of(Rough32(2.0) - Rough32(2.0)) == 0);
  CHECK(of(Rough32(1e-60) * Rough32(1.0)) >= 0);  // f32 has nothing so small: it may be 0
  CHECK(of(Rough32(-1e-60) * Rough32(1.0)) <= 0);
  CHECK(of(exp(Rough32(-std::numeric_limits<double>::infinity()))) == 0);
  CHECK(std::isinf(of(Rough32(1.0) / Rough32(0.0))));
  CHECK(std::isnan(of(Rough32(std::nan("")) + Rough32(1.0))));
  CHECK(std::isnan(of(rounded_sum<Rough32>(std::nan(""), 1, 3))));
}

TEST_CASE("rounded_sum: errs as sums of floats in random order do, and somewhat more") {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal;
  for (const float mean : {0.0f, 1.0f}) {
    for (const int n : {1, 2, 7, 100}) {
      INFO("mean " << mean << ", " << n << " terms");
      std::vector<double> real, drawn;
      for (int trial = 0; trial < 3000; ++trial) {
        std::vector<float> a, b;
        for (int i = 0; i < n; ++i) a.push_back(mean + normal(engine)), b.push_back(normal(engine));
        if (mean != 0) b = a;  // all products positive
        double exact = 0, terms2 = 0;
        float sum = 0;
        for (size_t i = 0; i < a.size(); ++i) {
          const double term = static_cast<double>(a[i]) * static_cast<double>(b[i]);
          exact += term;
          terms2 += term * term;
          volatile float product = a[i] * b[i];  // rounded before it is added
          sum += product;
        }
        const double size = std::sqrt(exact * exact + terms2) * 0x1p-24;
        real.push_back((static_cast<double>(sum) - exact) / size);
        drawn.push_back((of(rounded_sum<Rough32>(exact, terms2, n)) - exact) / size);
      }
      CHECK(root_mean_square(real) < root_mean_square(drawn));
      CHECK(root_mean_square(real) > 0.4 * root_mean_square(drawn));
    }
  }
}

TEST_CASE("Rough products: the exact product, off by rounding, zero where all terms are") {
  const std::vector<double> a = {1, 2, 3, 0, 0, 0}, b = {1, -1, 1, 0.5, 1, -1};  // [2, 3], [3, 2]
  const std::vector<Rough32> x(a.begin(), a.end()), y(b.begin(), b.end());
  std::vector<Rough32> c(4);
  dense::multiply(x.data(), y.data(), c.data(), 2, 3, 2);
  const double expected[] = {6, -3};
  for (size_t i = 0; i < 2; ++i) {
    CHECK(of(c[i]) != expected[i]);
    CHECK(std::abs(of(c[i]) - expected[i]) < 30 * 0x1p-24);
  }
  CHECK(of(c[2]) == 0);
  CHECK(of(c[3]) == 0);
  // Terms that cancel leave their error: 1 - 1 is no exact zero among roundings.
  const std::vector<Rough32> ones = {1.0, 1.0}, pair = {1.0 / 3, -1.0 / 3 + 0x1p-40};
  dense::multiply(ones.data(), pair.data(), c.data(), 1, 2, 1);
  CHECK(std::abs(of(c[0]) - 0x1p-40) > 0x1p-40);
}

TEST_CASE("Rough: bf16 is computed with as f32 is, and rounded to 8 bits where it is stored") {
  std::vector<double> errors;
  for (int i = 1; i <= 4000; ++i) {
    const double exact = 1.0 / i + 3.0 * i;
    const Rough16 sum = Rough16(1.0 / i) + Rough16(3.0 * i);
    REQUIRE(std::abs(of(sum) - exact) <= 0x1p-24 * exact);
    errors.push_back((of(sum.stored()) / of(sum) - 1) / 0x1p-8);
    REQUIRE(std::abs(errors.back()) <= 1.0001);
  }
  CHECK(root_mean_square(errors) == Approx(1 / std::sqrt(3)).epsilon(0.05));
  CHECK(of(Rough32(1.0 / 3).stored()) == 1.0 / 3);
  CHECK(of(Rough16(0.0).stored()) == 0);
  CHECK(std::isnan(of(Rough16(std::nan("")).stored())));
}

TEST_CASE("Rough: a parameter in bf16 is what a run stores, but for what sets draws apart") {
  for (const double value : {1.0 / 3, -7.1, 1e-3}) {
    const auto stored = static_cast<double>(static_cast<float>(bf16(value)));
    CHECK(std::abs(of(Rough16::loaded(value)) / stored - 1) <= 0x1p-16);
    CHECK(of(Rough16::loaded(value)) != of(Rough16::loaded(value * (1 + 0x1p-32))));
    CHECK(of(Rough32::loaded(value)) == value);
  }
}

TEST_CASE("Rough products: ranks that store their terms err somewhat less than is drawn") {
  std::mt19937 engine(7);
  std::normal_distribution<double> normal;
  constexpr int kTerms = 24, kRanks = 4;
  std::vector<double> real, drawn;
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<Rough16> a, b;
    double exact = 0;
    std::vector<float> terms(kRanks);
    for (int i = 0; i < kTerms; ++i) {
      // In two groups, of which each rank has a part: 12 of each, 3 a rank.
      const double x = normal(engine), y = normal(engine);
      a.emplace_back(x), b.emplace_back(y);
      exact += x * y;
      terms[static_cast<size_t>(i % 12 / 3)] += static_cast<float>(x * y);
    }
    float sum = 0;
    double size = 0;
    for (const float term : terms) {
      sum += static_cast<float>(bf16(term));
      size += static_cast<double>(term) * static_cast<double>(term);
    }
    size = 0x1p-8 * std::sqrt(size);
    Rough16 c;
    dense::multiply(a.data(), b.data(), &c, 1, kTerms, 1, {.ranks = kRanks, .groups = 2});
    real.push_back((static_cast<double>(static_cast<float>(bf16(sum))) - exact) / size);
    drawn.push_back((of(c) - exact) / size);
  }
  CHECK(root_mean_square(real) < root_mean_square(drawn));
  CHECK(root_mean_square(real) > 0.3 * root_mean_square(drawn));
}

TEST_CASE("rough_weights: a draw is repeatable, differs from others, and rounds to its dtype") {
  const auto weights = [](const std::string&) { return std::vector<double>{1.0 / 3, 0, -7}; };
  const auto drawn = [&](DType dtype, int draw) { return rough_weights(weights, dtype, draw)(""); };
  CHECK(drawn(DType::f32, 1) == drawn(DType::f32, 1));
  CHECK(drawn(DType::f32, 1) != drawn(DType::f32, 2));
  CHECK(drawn(DType::f32, 0)[0] == Approx(static_cast<double>(1.0f / 3)).epsilon(0x1p-32));
  CHECK(drawn(DType::f64, 0)[0] == Approx(1.0 / 3).epsilon(0x1p-8 * Rough64::kRoundoff));
  CHECK(drawn(DType::f64, 0)[1] == 0);
}

TEST_CASE("DrawnErrors: the margin times the root of the mean of squares, and NaN stays NaN") {
  DrawnErrors errors(DType::f32);
  const std::vector<double> exact = {3, 4};
  errors.add("site", std::vector<double>{3.1, 4}, exact);
  errors.add("site", std::vector<double>{3, 3.8}, exact);
  CHECK(errors.bound("site").max_abs == Approx(kMargin * std::sqrt((0.01 + 0.04) / 2)));
  CHECK(errors.bound("site").rms == Approx(kMargin * std::sqrt((0.01 + 0.04) / 2) / 5));
  errors.add("site", std::vector<double>{std::nan(""), 4}, exact);
  CHECK(std::isnan(errors.bound("site").max_abs));
  errors.add("zero", std::vector<double>{0, 0}, std::vector<double>{0, 0});
  CHECK(errors.bound("zero").rms == 0);
}
