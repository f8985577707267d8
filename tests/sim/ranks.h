// What the tests of the machine share: data that depends on where it is, and failures with a clock.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "sim/error.h"
#include "sim/machine/world.h"

namespace tplab {

// Seconds within which a run that is stuck must be an error. Sanitizers make all slower, and
// clang's do not say by a macro that they are there.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(__clang__)
inline constexpr double kSoon = 20;
#else
inline constexpr double kSoon = 1;
#endif

// The number that `rank` contributes at `index`: a multiple of 1/8 and small, so that sums of 64 of
// them are exact in f32 in any order, and different for every index and rank.
inline double term(int rank, int64_t index) {
  return static_cast<double>((index * 37 + rank * 101 + index % 7 * rank) % 8191 - 4000) / 8;
}

// A number whose sums round, so that the order of summation shows.
inline double rough_term(int rank, int64_t index) { return term(rank, index) / 3 + 1e-3 * rank; }

inline Array make_array(Rank& rank, DType dtype, int64_t count,
                        const std::function<double(int64_t)>& value) {
  Array x = rank.device().allocate(dtype, {count});
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    for (int64_t i = 0; i < count; ++i) x.as<Real>()[i] = static_cast<Real>(value(i));
  });
  return x;
}

inline std::vector<double> values(const Array& x) {
  std::vector<double> result;
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    for (int64_t i = 0; i < x.count(); ++i) result.push_back(static_cast<double>(x.as<Real>()[i]));
  });
  return result;
}

// A run that should fail: the error's text, and how long it took to come.
struct Failure {
  std::string text = "no error";
  ErrorKind kind = ErrorKind::unavailable;
  double seconds = 0;
};

inline Failure failure_of(WorldOptions options, const std::function<void(Rank&)>& body) {
  Failure failure;
  const auto start = std::chrono::steady_clock::now();
  try {
    World(std::move(options)).run(body);
  } catch (const Error& error) {
    failure.text = error.what();
    failure.kind = error.kind();
  }
  failure.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return failure;
}

}  // namespace tplab
