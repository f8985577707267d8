#include "model/init.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "sim/error.h"
#include "sim/random.h"

namespace tplab {

namespace {

class InitialWeights : public WeightSource {
 public:
  InitialWeights(const Architecture& architecture, InitOptions options)
      : architecture_(architecture), options_(options) {
    const std::vector<ParameterRow> rows = parameters(architecture);
    for (NamedTensor& tensor : named_tensors(rows)) {
      Distribution values = rows[tensor.first_row].initial;  // those below are drawn alike
      if (options.draw_biases) values.deviation += values.drawn;
      tensors_.emplace(std::move(tensor.name), Drawn{cols_of(tensor.shape), values});
    }
  }
  const Architecture& architecture() const override { return architecture_; }
  std::string description() const override {
    return fmt::format("initial weights, seed {}", options_.seed);
  }
  std::string stored_dtype() const override { return "f32"; }

  void read(std::string_view parameter, const Slice& slice, HostSpan out) const override {
    const Drawn& of = find(parameter);
    const RandomStream stream(options_.seed, parameter);
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      auto* to = static_cast<Real*>(out.data);
      for (const Range& rows : slice.rows) {
        for (int64_t row = rows.begin; row < rows.end; ++row) {
          to = fill(stream, of.values, row * of.cols + slice.cols.begin, slice.cols.size(), to);
        }
      }
    });
  }

 private:
  struct Drawn {
    int64_t cols;
    Distribution values;
  };
  const Drawn& find(std::string_view parameter) const {
    const auto at = tensors_.find(parameter);
    if (at != tensors_.end()) return at->second;
    fail(fmt::format("the model has no parameter '{}'", parameter), "");
  }

  // The values at global indices first .. first + count - 1.
  template <class Real>
  static Real* fill(const RandomStream& stream, Distribution d, int64_t first, int64_t count,
                    Real* to) {
    int64_t i = first;
    while (i < first + count) {
      const std::array<float, 4> four = stream.normals(static_cast<uint64_t>(i / 4));
      for (; i < first + count; ++i) {
        *to++ = static_cast<Real>(d.mean + d.deviation * four[static_cast<size_t>(i % 4)]);
        if (i % 4 == 3) {
          ++i;
          break;
        }
      }
    }
    return to;
  }

  Architecture architecture_;
  InitOptions options_;
  std::map<std::string, Drawn, std::less<>> tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> initial_weights(const Architecture& architecture,
                                              InitOptions options) {
  return std::make_unique<InitialWeights>(architecture, options);
}

}  // namespace tplab
