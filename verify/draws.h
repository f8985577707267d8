// Bounds from draws: how far rounding may take an array, from networks of Rough numbers.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/config.h"
#include "verify/reference/rough.h"
#include "verify/verify.h"

namespace tplab {

// How many networks are drawn for a batch of so many positions. Where an error has one cause, such
// as the variance of a row of few numbers, a draw is one number of its distribution, and of one row
// no more than its numbers are sure to err apart: so many draws that they are 256, 2 at least (4
// for fewer than 8 positions) and 32 at most.
int draws_for(const Architecture& architecture, int64_t positions);

// For people who wait: "rounding in f32, draw 3 of 32".
std::string drawing(DType dtype, int draw, int draws);

// The weights of draw number `draw`: rounded to `dtype`, as a run stores them, and then moved by up
// to a 256th of what Rough numbers are rounded by. Of bf16 they are the masters, in f32.
std::function<std::vector<double>(const std::string&)> rough_weights(
    const std::function<std::vector<double>(const std::string&)>& weights, DType dtype, int draw);

// A bound that holds in `from`, in `to`: errors grow as the roundoff does.
Bound scaled(const Bound& bound, DType from, DType to);

// error / size, 0 where there is no error.
double relative(double error, double size);

// The errors of some draws, array by array.
class DrawnErrors {
 public:
  explicit DrawnErrors(DType dtype) : dtype_(dtype) {}
  void add(const std::string& name, std::span<const double> drawn, std::span<const double> exact);
  bool has(const std::string& name) const { return squares_.count(name) > 0; }
  // kMargin times the root of the mean of the draws' squares. REQUIRES: add() for it.
  Bound bound(const std::string& name) const;
  double scale() const;  // kMargin, and from what stands for dtype to its own roundoff

 private:
  struct Squares {
    double rms = 0, max_abs = 0;  // summed over the draws
    int draws = 0;
  };
  DType dtype_;
  std::map<std::string, Squares> squares_;
};

}  // namespace tplab
