// Attention on scores of any finite size: training, decoding and exact arithmetic agree.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/sim/numbers.h"

namespace tplab {
namespace {

// One head. Queries and keys are whole numbers from -9 to 9, times a power of two, so that scores
// are exact: what is left to go wrong is the softmax.
struct Head {
  int64_t T, D;
  double size;  // a power of two: scores reach 81 D size² / √D
  double part(int64_t t, int64_t which, int64_t d) const {
    const double x = number_at((t * 3 + which) * D + d, 11);
    return which == 2 ? double(float(x)) : std::round(9 * x) * size;
  }
};

// Softmax weights p, exact, of the query at t.
std::vector<Exact> exact_weights(const Head& h, int64_t t) {
  std::vector<Exact> score(static_cast<size_t>(t + 1));
  for (int64_t j = 0; j <= t; ++j)
    for (int64_t d = 0; d < h.D; ++d)
      score[static_cast<size_t>(j)] += Exact(h.part(t, 0, d)) * h.part(j, 1, d);
  const Exact most = *std::max_element(score.begin(), score.end());
  Exact sum = 0;
  for (Exact& s : score) sum += s = std::exp((s - most) / std::sqrt(Exact(h.D)));
  for (Exact& s : score) s /= sum;
  return score;
}

// The exponent g is off by 3u g (the difference, the scale, the product), so a weight e^-g by at
// most 3u g e^-g <= 3u/e; exp, the sum and the quotient add γ_{n+14} of it. So each of the n
// weights of a row is off by θ = 2 (2u + γ_{n+14}), the second 2 because all of them are divided by
// a sum.
template <class Real>
double weight_error(int64_t n) {
  return 2 * (2 * unit_roundoff(dtype_of<Real>) + gamma_of<Real>(n + 14));
}

// How many numbers of y, by training and by decoding, and of the gradient are wrong.
template <class Real>
int64_t wrong_numbers(const Head& h) {
  Team team(2);
  const auto device = make_cpu_device(team.crew());
  const auto array = [&](const Shape& shape) { return numbers<Real>(*device, shape, 3); };
  const int64_t T = h.T, D = h.D;
  Array qkv = array({1, T, 3 * D}), y = array({1, T, D}), stats = array({1, 1, T, 2});
  Array dy = array({1, T, D}), dqkv = array({1, T, 3 * D}), keys = array({1, 1, T, D});
  Array values = array({1, 1, T, D}), one = array({1, 1, 3 * D}), decoded = array({1, 1, D});
  for (int64_t i = 0; i < qkv.count(); ++i)
    qkv.as<Real>()[i] = static_cast<Real>(h.part(i / (3 * D), i / D % 3, i % D));
  const AttentionForm form{
      .heads = 1, .kv_heads = 1, .scale = 1 / std::sqrt(static_cast<double>(D))};
  device->run(op::CausalAttention{form, qkv, {}, y, stats});
  device->run(op::CausalAttentionBackward{form, qkv, {}, y, stats, dy, dqkv, {}});

  const auto v = [&](int64_t t, int64_t d) { return static_cast<Exact>(h.part(t, 2, d)); };
  int64_t wrong = 0;
  std::vector<Exact> dv(static_cast<size_t>(T * D));
  std::vector<Exact> dq(dv), dk(dv);
  for (int64_t t = 0; t < T; ++t) {
    std::copy_n(qkv.as<Real>() + t * 3 * D, 3 * D, one.as<Real>());
    device->run(op::CachedAttention{
        form, one, {}, {ids_of(*device, {static_cast<int32_t>(t)}), t}, keys, values, decoded});
    const std::vector<Exact> p = exact_weights(h, t);
    const double off = 1.1 * static_cast<double>(t + 1) * weight_error<Real>(t + 1);
    std::vector<Exact> exact(static_cast<size_t>(D));
    for (int64_t d = 0; d < D; ++d) {
      for (int64_t j = 0; j <= t; ++j) exact[size_t(d)] += p[size_t(j)] * v(j, d);
      wrong += !within(y.as<Real>()[t * D + d], exact[size_t(d)], off);
      wrong += !within(decoded.as<Real>()[d], exact[size_t(d)], off);
    }
    const auto dy_at = [&](int64_t d) { return static_cast<Exact>(dy.as<Real>()[t * D + d]); };
    Exact delta = 0;
    for (int64_t d = 0; d < D; ++d) delta += dy_at(d) * exact[size_t(d)];
    for (int64_t j = 0; j <= t; ++j) {
      Exact dp = 0;
      for (int64_t d = 0; d < D; ++d) dp += dy_at(d) * v(j, d);
      const Exact ds = p[size_t(j)] * (dp - delta) / std::sqrt(Exact(D));
      for (int64_t d = 0; d < D; ++d) {
        dq[size_t(t * D + d)] += ds * h.part(j, 1, d);
        dk[size_t(j * D + d)] += ds * h.part(t, 0, d);
        dv[size_t(j * D + d)] += p[size_t(j)] * dy_at(d);
      }
    }
  }
  // Sums of at most T terms p x: |x| <= 1 for dv. For dq and dk x is (dp - Δ)/√D of at most 2 √D,
  // times a key or query of at most 9 size; Δ has y's error, T θ, and both are sums of D terms.
  const double theta = weight_error<Real>(T), terms = static_cast<double>(T);
  const double dv_off = 1.1 * terms * (theta + gamma_of<Real>(T));
  const double ds_off = 2 * std::sqrt(static_cast<double>(D)) *
                        (theta + terms * theta + gamma_of<Real>(T + 2 * D + 4));
  const double dq_off = 1.1 * terms * ds_off * 9 * h.size;
  for (int64_t i = 0; i < T * D; ++i) {
    const Real* const row = dqkv.as<Real>() + i / D * 3 * D + i % D;
    wrong += !within(row[0], dq[size_t(i)], dq_off);
    wrong += !within(row[D], dk[size_t(i)], dq_off);
    wrong += !within(row[2 * D], dv[size_t(i)], dv_off);
  }
  return wrong;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "attention: training, decoding and their gradient are right on scores of any "
    "finite size",
    "", float, double) {
  for (const int64_t D : {1, 2, 3, 5, 8, 32, 128}) {
    for (const int64_t T : {12, 70}) {
      for (const int power : {0, 5, 10, 17, 20, 40, 50}) {
        CAPTURE(D, T, power);
        CHECK(wrong_numbers<TestType>({T, D, std::ldexp(1.0, power)}) == 0);
      }
    }
  }
}

}  // namespace tplab
