#include "verify/remembered_weights.h"

#include <algorithm>

#include "model/parameters.h"

namespace tplab {

RememberedWeights::RememberedWeights(const WeightSource& source) : source_(source) {
  for (const NamedTensor& tensor : named_tensors(source.architecture())) {
    Parameter& of = parameters_[tensor.name];
    of.rows = tensor.shape[0];
    of.cols = cols_of(tensor.shape);
  }
}

void RememberedWeights::read(std::string_view parameter, const Slice& slice, HostSpan out) const {
  const auto at = parameters_.find(parameter);
  if (at == parameters_.end()) return source_.read(parameter, slice, out);
  Parameter& of = at->second;
  std::call_once(of.once, [&] {
    of.numbers.resize(static_cast<size_t>(of.rows * of.cols));
    source_.read(parameter, {{{0, of.rows}}, {0, of.cols}},
                 {DType::f32, of.numbers.data(), of.rows * of.cols});
  });
  dispatch(out.dtype, [&](auto zero) {
    using Real = decltype(zero);
    auto* to = static_cast<Real*>(out.data);
    for (const Range& rows : slice.rows)
      for (int64_t row = rows.begin; row < rows.end; ++row) {
        const float* from = of.numbers.data() + row * of.cols + slice.cols.begin;
        to = std::transform(from, from + slice.cols.size(), to,
                            [](float x) { return static_cast<Real>(x); });
      }
  });
}

}  // namespace tplab
