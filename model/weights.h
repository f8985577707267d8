// Where parameter values come from (a checkpoint or an initialiser), read slice by slice.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/slice.h"
#include "model/parameters.h"
#include "sim/dtype.h"

namespace tplab {

// Tensors are named_tensors(architecture), whatever a file's are: linears are [out, in], a GPT's
// have nanoGPT's names. Implementations are safe to read from many threads at once and hold no
// whole parameter in memory for longer than one read.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const Architecture& architecture() const = 0;
  // For people: "nanoGPT checkpoint out/ckpt.pt, iteration 2000".
  virtual std::string description() const = 0;
  // The number format values are stored in, for people: "f32", "bf16".
  virtual std::string stored_dtype() const = 0;
  // For people, a line each: what of the files was not read, or how they were understood.
  virtual std::vector<std::string> notes() const { return {}; }
  // Fills out, [slice.row_count(), slice.cols.size()] row-major, converted to out.dtype.
  // REQUIRES: the slice lies within the tensor's shape and out.count == slice.count().
  // Throws Error(bad_file) when the file ends early or cannot be read.
  virtual void read(std::string_view parameter, const Slice& slice, HostSpan out) const = 0;
  // Where people find one value of a parameter, by the source's own name and layout: row 3, column
  // 5 of a linear's weight is "h.0.mlp.c_fc.weight[5, 3]" in a file that keeps [in, out].
  virtual std::string place(std::string_view parameter, int64_t row, int64_t col) const;
};

}  // namespace tplab
