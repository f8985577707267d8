// Weights that are read once: for a verification, whose reference, draws and runs read them many
// times over, of a source that is slow, as drawn ones are.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "model/weights.h"

namespace tplab {

// Keeps what it has read of a parameter, 4 bytes a number. May be read by all ranks at once.
// REQUIRES: the source's numbers are f32; it outlives this.
class RememberedWeights final : public WeightSource {
 public:
  explicit RememberedWeights(const WeightSource& source);

  const Architecture& architecture() const override { return source_.architecture(); }
  std::string description() const override { return source_.description(); }
  std::string stored_dtype() const override { return source_.stored_dtype(); }
  std::vector<std::string> notes() const override { return source_.notes(); }
  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override;

 private:
  struct Parameter {
    int64_t rows = 0, cols = 0;
    std::once_flag once;
    std::vector<float> numbers;  // [rows, cols]
  };
  const WeightSource& source_;
  mutable std::map<std::string, Parameter, std::less<>> parameters_;
};

}  // namespace tplab
