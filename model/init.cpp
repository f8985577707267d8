#include "model/init.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

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
      Drawn& of = tensors_[std::move(tensor.name)];
      of.count = tensor.shape.count();
      of.cols = cols_of(tensor.shape);
      of.values = values;
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
    if (options_.remember) {
      std::call_once(of.once, [&] {
        of.drawn.resize(static_cast<size_t>(of.count));
        draw(stream, of.values, 0, of.count, of.drawn.data());
      });
    }
    const int64_t count = slice.cols.size();
    std::vector<float> row_of_slice(static_cast<size_t>(count));
    const auto drawn = [&](int64_t first) -> const float* {
      if (options_.remember) return of.drawn.data() + first;
      draw(stream, of.values, first, count, row_of_slice.data());
      return row_of_slice.data();
    };
    dispatch(out.dtype, [&](auto zero) {
      using Real = decltype(zero);
      auto* to = static_cast<Real*>(out.data);
      for (const Range& rows : slice.rows)
        for (int64_t row = rows.begin; row < rows.end; ++row) {
          const float* from = drawn(row * of.cols + slice.cols.begin);
          to = std::transform(from, from + count, to, [](float x) { return static_cast<Real>(x); });
        }
    });
  }

 private:
  struct Drawn {
    int64_t count = 0, cols = 0;
    Distribution values;
    mutable std::once_flag once;
    mutable std::vector<float> drawn;  // all of them, if they are remembered
  };
  const Drawn& find(std::string_view parameter) const {
    const auto at = tensors_.find(parameter);
    if (at != tensors_.end()) return at->second;
    fail(fmt::format("the model has no parameter '{}'", parameter), "");
  }

  // The values at global indices first .. first + count - 1.
  static void draw(const RandomStream& stream, Distribution d, int64_t first, int64_t count,
                   float* to) {
    int64_t i = first;
    while (i < first + count) {
      const std::array<float, 4> four = stream.normals(static_cast<uint64_t>(i / 4));
      do *to++ = d.mean + d.deviation * four[static_cast<size_t>(i % 4)];
      while (++i < first + count && i % 4 != 0);
    }
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
