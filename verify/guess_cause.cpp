// Guesses a bug from the shape of its error: a list of hypotheses, the most specific first.
//
// Each hypothesis predicts the whole wrong array from what is known (expected plus twice the bias,
// rank 1's term alone, expected with two shards swapped); the first whose prediction matches is the
// answer.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>

#include "sim/error.h"
#include "verify/compare.h"

namespace tplab {
namespace {

using Numbers = std::span<const double>;
using Guess = std::optional<std::string>;

size_t at(int64_t index) { return static_cast<size_t>(index); }

std::string join(const auto& items, const char* separator) {
  std::string text;
  for (const auto& item : items) text += fmt::format("{}{}", text.empty() ? "" : separator, item);
  return text;
}

// The evidence, and how the shared-out dimension lies in memory: [outer, width, inner].
struct Case {
  const Evidence& e;
  Difference difference;
  int64_t count, columns, width, inner;  // columns: the last dimension
  double noise;                          // what rounding may do, or the last bits of a double

  double got(int64_t i) const { return e.got[at(i)]; }
  double expected(int64_t i) const { return e.expected[at(i)]; }
  double bias(int64_t i) const { return e.bias.empty() ? 0 : e.bias[at(i % columns)]; }

  bool differs(int64_t i) const {
    return !(got(i) == expected(i) || std::abs(got(i) - expected(i)) <= e.bound);
  }

  // Does got equal the prediction everywhere, and closely enough to explain the error?
  // terms: how many results' worth of rounding is in the prediction.
  bool matches(const std::function<double(int64_t)>& prediction, double terms = 1) const {
    const double tolerance = noise * (1 + std::abs(terms));
    if (!(8 * tolerance < difference.max_abs)) return false;
    for (int64_t i = 0; i < count; ++i) {
      const double p = prediction(i);
      if (!(got(i) == p || std::abs(got(i) - p) <= tolerance)) return false;
    }
    return true;
  }
};

Case study(const Evidence& e) {
  const int64_t count = e.shape.count();
  const int dims = e.shape.dims();
  Difference difference = compare(e.got, e.expected, e.shape, e.bound);
  const int axis = e.shard_axis < 0 ? dims + e.shard_axis : e.shard_axis;
  if (count < 1 || axis < 0 || axis >= dims)
    fail(fmt::format("no dimension {} in the shape {}", e.shard_axis, e.shape.text()),
         "name a dimension the array has");
  for (const auto* arrays : {&e.partials, &e.replicas})
    for (const Numbers& array : *arrays)
      if (array.size() != e.got.size())
        fail(fmt::format("a rank's array has {} numbers; the result has {}", array.size(), count),
             "give arrays of the result's shape");
  if (!e.bias.empty() && static_cast<int64_t>(e.bias.size()) != e.shape[-1])
    fail(fmt::format("the bias has {} numbers for rows of {}", e.bias.size(), e.shape[-1]),
         "give the bias that is added to each row");
  double largest = difference.largest_expected;
  for (const double v : e.got)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  return {.e = e,
          .difference = difference,
          .count = count,
          .columns = e.shape[-1],
          .width = e.shape[axis],
          .inner = e.shape.from(axis + 1).count(),
          .noise = std::max(e.bound, 0x1p-48 * largest)};
}

// The k for which k * basis is nearest to target, least squares, and rounded to tp - 1, 1 / tp and
// their like when it is one of them but for rounding.
double multiple(const Case& c, const std::function<double(int64_t)>& target,
                const std::function<double(int64_t)>& basis) {
  double along = 0, square = 0;
  for (int64_t i = 0; i < c.count; ++i) {
    if (!std::isfinite(basis(i))) continue;  // a mask's -inf
    along += target(i) * basis(i);
    square += basis(i) * basis(i);
  }
  if (square == 0) return 0;
  const double k = along / square, tp = static_cast<double>(c.e.tp);
  const double slack = c.noise * std::sqrt(static_cast<double>(c.count) / square);
  for (const double simple : {std::round(k), 1 / tp, 1 / tp - 1})
    if (std::abs(k - simple) <= slack * (1 + std::abs(k))) return simple;
  return k;
}

Guess not_a_number(const Case& c) {
  for (int64_t i = 0; i < c.count; ++i)
    if (std::isnan(c.got(i)) && !std::isnan(c.expected(i)))
      return fmt::format("first NaN at {}, where {:.9g} was expected",
                         show_position(coordinates(i, c.e.shape)), c.expected(i));
  return c.difference.has_nan ? Guess("the expected values hold NaN themselves") : std::nullopt;
}

Guess one_partial(const Case& c) {
  const auto ranks = static_cast<int64_t>(c.e.partials.size());
  for (int64_t r = 0; r < ranks && ranks > 1; ++r) {
    const Numbers partial = c.e.partials[at(r)];
    if (c.matches([&](int64_t i) { return partial[at(i)]; }) ||
        c.matches([&](int64_t i) { return partial[at(i)] + c.bias(i); }))
      return fmt::format("looks like rank {}'s partial: the all-reduce is missing", r);
    if (c.matches([&](int64_t i) { return c.expected(i) - partial[at(i)]; }))
      return fmt::format("rank {}'s partial is missing from the sum", r);
  }
  return {};
}

// Replicas that are no replicas: they add up to what each should hold.
Guess replicas_are_partials(const Case& c) {
  const auto ranks = static_cast<double>(c.e.replicas.size());
  if (ranks < 2) return {};
  const auto equals_sum = [&](double extra_biases) {
    for (int64_t i = 0; i < c.count; ++i) {
      double sum = -extra_biases * c.bias(i);
      for (const Numbers& replica : c.e.replicas) sum += replica[at(i)];
      if (!(sum == c.expected(i) || std::abs(sum - c.expected(i)) <= c.noise * (1 + ranks)))
        return false;
    }
    return true;
  };
  if (!equals_sum(0) && !equals_sum(ranks - 1)) return {};
  return "each rank holds its own partial, and their sum is what was expected: the all-reduce is "
         "missing";
}

Guess times_bias(const Case& c) {
  if (c.e.bias.empty()) return {};
  const auto error = [&](int64_t i) { return c.got(i) - c.expected(i); };
  const double k = multiple(c, error, [&](int64_t i) { return c.bias(i); });
  if (k == 0 || !c.matches([&](int64_t i) { return c.expected(i) + k * c.bias(i); }, k)) return {};
  const auto tp = static_cast<double>(c.e.tp);
  if (k == -1) return "the bias is missing";
  if (k == tp - 1)
    return fmt::format(
        "off by exactly (tp-1) = {} times the bias: it is added on every rank; add it once, after "
        "the all-reduce",
        k);
  if (k == 1 / tp - 1) return "only 1/tp of the bias is there: one rank's share, never summed";
  return fmt::format("off by {:.6g} times the bias", k);
}

Guess scaled(const Case& c) {
  const double k = multiple(
      c, [&](int64_t i) { return c.got(i); }, [&](int64_t i) { return c.expected(i); });
  if (k == 1 || !c.matches([&](int64_t i) { return k * c.expected(i); }, k)) return {};
  const auto tp = static_cast<double>(c.e.tp);
  if (k == 0) return "all zeros: never written, or nothing was summed";
  if (k == tp) return fmt::format("scaled by tp = {}: summed over the ranks once too often", k);
  if (k == 1 / tp)
    return fmt::format("scaled by 1/tp = 1/{}: averaged over the ranks instead of summed", c.e.tp);
  return fmt::format("scaled by {:.6g}", k);
}

Guess same_in_every_row(const Case& c) {
  if (c.count == c.columns) return {};
  if (!c.matches(
          [&](int64_t i) {
            const int64_t column = i % c.columns;
            return c.expected(i) + (c.got(column) - c.expected(column));
          },
          3))  // two results and two references
    return {};
  return "every row is off by the same vector, as by a bias";
}

// For each of n blocks of the shared-out dimension, which block of expected it holds; empty when
// one holds none.
std::vector<int64_t> block_sources(const Case& c, int64_t n) {
  if (n < 2 || c.width % n != 0) return {};
  const int64_t block = c.width / n * c.inner, stride = c.width * c.inner;
  const auto holds = [&](int64_t to, int64_t from) {
    for (int64_t outer = 0; outer < c.count; outer += stride)
      for (int64_t i = 0; i < block; ++i) {
        const double a = c.got(outer + to * block + i), b = c.expected(outer + from * block + i);
        if (!(a == b || std::abs(a - b) <= c.noise)) return false;
      }
    return true;
  };
  std::vector<int64_t> sources;
  for (int64_t to = 0; to < n; ++to) {
    int64_t from = holds(to, to) ? to : 0;
    while (from < n && !holds(to, from)) ++from;
    if (from == n) return {};
    sources.push_back(from);
  }
  return sources;
}

Guess wrong_blocks(const Case& c) {
  const std::vector<int64_t> by_rank = block_sources(c, c.e.tp);
  for (int64_t i = 0; i < static_cast<int64_t>(by_rank.size()); ++i)
    if (by_rank[at(i)] != i) {
      const bool all_there =
          std::set<int64_t>(by_rank.begin(), by_rank.end()).size() == by_rank.size();
      return fmt::format("{}: block {} holds what block {} should (blocks 0 to {} hold {})",
                         all_there ? "shards swapped" : "a shard stands in another's place", i,
                         by_rank[at(i)], c.e.tp - 1, join(by_rank, ", "));
    }
  // Rank r cut rows r/tp .. (r+1)/tp of [Q | K | V] and called its thirds q, k and v.
  const std::vector<int64_t> thirds = block_sources(c, 3 * c.e.tp);
  if (c.e.tp < 2 || thirds.empty() || std::is_sorted(thirds.begin(), thirds.end())) return {};
  for (int64_t part = 0; part < 3; ++part)
    for (int64_t r = 0; r < c.e.tp; ++r)
      if (thirds[at(part * c.e.tp + r)] != 3 * r + part)
        return fmt::format("blocks of a third of a shard are in the wrong order: {}",
                           join(thirds, ", "));
  return "the fused [Q|K|V] is split contiguously instead of by head";
}

Guess some_ranks_only(const Case& c) {
  const int64_t tp = c.e.tp;
  if (tp < 2 || c.width % tp != 0) return {};
  const int64_t share = c.width / tp;
  std::vector<bool> bad(at(tp));
  for (int64_t i = 0; i < c.count; ++i)
    if (c.differs(i)) bad[at(i / c.inner % c.width / share)] = true;
  std::vector<std::string> ranks;
  for (int64_t r = 0; r < tp; ++r)
    if (bad[at(r)])
      ranks.push_back(fmt::format("rank {}'s {} [{}, {})", r, c.inner == 1 ? "columns" : "slices",
                                  r * share, (r + 1) * share));
  if (ranks.empty() || static_cast<int64_t>(ranks.size()) == tp) return {};
  return fmt::format("only {} differ", join(ranks, " and "));
}

std::string unknown(const Case& c) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < c.count; ++i) wrong += c.differs(i);
  return fmt::format("no known pattern: {} of {} values differ; {}", wrong, c.count,
                     c.difference.describe());
}

// Which ranks' copies are not rank 0's, and where the first of them begins to differ.
std::string disagreement(const Case& c) {
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  std::vector<size_t> ranks;
  std::string first;
  for (size_t r = 1; r < c.e.replicas.size(); ++r) {
    const auto [mine, theirs] = std::mismatch(c.e.replicas[0].begin(), c.e.replicas[0].end(),
                                              c.e.replicas[r].begin(), same);
    if (mine == c.e.replicas[0].end()) continue;
    if (ranks.empty()) {
      const auto [in_first, in_this] = told_apart(*mine, *theirs);
      first = fmt::format("at {} rank 0 holds {} and rank {} {}",
                          show_position(coordinates(mine - c.e.replicas[0].begin(), c.e.shape)),
                          in_first, r, in_this);
    }
    ranks.push_back(r);
  }
  if (ranks.empty()) return "";
  const bool one = ranks.size() == 1;
  return fmt::format("; {} {} {} from rank 0: {}", one ? "rank" : "ranks", join(ranks, ", "),
                     one ? "differs" : "differ", first);
}

}  // namespace

std::string guess_cause(const Evidence& evidence) {
  const Case c = study(evidence);
  if (c.difference.first_bad_index < 0) {
    const std::string ranks = disagreement(c);
    return ranks.empty() ? "no difference beyond rounding" : "the first copy is right" + ranks;
  }
  for (const auto hypothesis : {not_a_number, one_partial, replicas_are_partials, times_bias,
                                scaled, wrong_blocks, same_in_every_row, some_ranks_only})
    if (const Guess guess = hypothesis(c)) return *guess + disagreement(c);
  return unknown(c) + disagreement(c);
}

}  // namespace tplab
