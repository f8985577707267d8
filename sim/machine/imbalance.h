// How unevenly something is shared out.
#pragma once

#include <optional>
#include <vector>

namespace tplab {

// How far each is from the mean of all that are given: value / mean - 1, so 0.25 for a quarter
// more. Absent for what is absent, and for all where fewer than two are given or their mean is not
// above 0.
inline std::vector<std::optional<double>> imbalances(
    const std::vector<std::optional<double>>& values) {
  double sum = 0;
  int given = 0;
  for (const auto& value : values) {
    sum += value.value_or(0);
    given += value ? 1 : 0;
  }
  std::vector<std::optional<double>> result(values.size());
  if (given < 2 || !(sum > 0)) return result;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i]) result[i] = *values[i] * given / sum - 1;
  return result;
}

}  // namespace tplab
