// Products of few rows with weights, and what stands around them.
#include <algorithm>

#include "sim/cuda/activations.h"
#include "sim/cuda/few_rows.h"
#include "sim/cuda/norm_row.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

constexpr int kFewWarps = kFewRowsThreads / kWarp;
// Packs of weights that a lane waits for at once: with three blocks on a multiprocessor 48 KiB of
// them, which is what memory needs to be busy all the time.
constexpr int kAhead = 8;
// Blocks that are there at once on any GPU: each normalises its rows once.
constexpr int64_t kMostFewBlocks = 6 * 132;
constexpr int64_t kMostNormedBytes = 32 << 10;  // of shared memory

template <class Real>
struct Sums {
  const Real* b;
  Real* y;  // null: there is none
  bool b_is_row;
};

template <class Real>
struct FewRows {
  const Real *x, *w, *bias;  // [rows, K], [N, K], [N] or null
  Real* y;                   // [rows, N]
  int64_t rows, K, N, each;  // outputs that a warp computes, one after the other
  // The norm: x = norm(before), written to `x` too. weight null: there is none.
  const Real *before, *weight, *norm_bias;
  Real* normed;
  Computed<Real> eps, plus;
  bool centred;
  Real* activated;  // null: there is none
  ActivationKind kind;
  Sums<Real> sums[2];
};

// The weights of an output that a lane multiplies with next.
template <class Real, int kWidth>
struct WeightsAhead {
  using Piece = std::conditional_t<kWidth == 1, Real, Bytes16>;
  static constexpr int kStep = kAhead * kWarp * kWidth;  // numbers that a warp has at once
  Piece piece[kAhead];

  // Those of row w from number `begin` on.
  __device__ __forceinline__ void load(const Real* w, int64_t begin, int64_t K) {
    for_mine(begin, K, [&](int j, int64_t k) {
      if constexpr (kWidth == 1) {
        piece[j] = w[k];
      } else {
        piece[j] = load_16_once(w + k);
      }
    });
  }
  template <int kRows>
  __device__ __forceinline__ void multiply(const Real* x, int64_t rows, int64_t begin, int64_t K,
                                           Computed<Real> (&sums)[kRows]) const {
    for_mine(begin, K, [&](int j, int64_t k) {
      Pack<Real, kWidth> weights;
      if constexpr (kWidth == 1) {
        weights.value[0] = static_cast<Computed<Real>>(piece[j]);
      } else {
        weights = unpacked<Real>(piece[j]);
      }
      TPLAB_UNROLL
      for (int r = 0; r < kRows; ++r) {
        if (r >= rows) continue;
        const auto of_x = load_pack<kWidth>(x + r * K + k);
        for (int i = 0; i < kWidth; ++i) sums[r] += of_x.value[i] * weights.value[i];
      }
    });
  }
  template <class F>
  __device__ __forceinline__ static void for_mine(int64_t begin, int64_t K, F f) {
    const int64_t first = begin + int64_t{kWidth} * (threadIdx.x % kWarp);
    TPLAB_UNROLL
    for (int j = 0; j < kAhead; ++j) {
      const int64_t k = first + int64_t{j} * kWarp * kWidth;
      if (k < K) f(j, k);
    }
  }
};

// The rows, normalised, in shared memory; one block writes them to where they belong.
template <int kWidth, class Real>
__device__ const Real* normalised(const FewRows<Real>& a) {
  Real* const rows = dynamic_shared<Real>();
  for (int64_t r = 0; r < a.rows; ++r) {
    const Real* const x = a.before + r * a.K;
    if (a.centred) {
      normalise_row<true, kWidth>(x, a.weight, a.norm_bias, rows + r * a.K, a.K, a.eps, a.plus);
    } else {
      normalise_row<false, kWidth>(x, a.weight, a.norm_bias, rows + r * a.K, a.K, a.eps, a.plus);
    }
  }
  __syncthreads();
  if (blockIdx.x == 0) {
    for_my_packs<kWidth>(a.rows * a.K,
                         [&](int64_t i) { store_pack(a.normed + i, load_pack<kWidth>(rows + i)); });
  }
  return rows;
}

// Output n of row r, whose sum is there, and what becomes of it: rounded after each operation.
template <class Real>
__device__ void finish(const FewRows<Real>& a, int64_t r, int64_t n, Computed<Real> sum) {
  using Sum = Computed<Real>;
  const int64_t i = r * a.N + n;
  if (a.bias) sum += static_cast<Sum>(a.bias[n]);
  Real y = converted<Real>(sum);
  a.y[i] = y;
  if (a.activated) {
    y = converted<Real>(activation_of(a.kind, static_cast<Sum>(y)));
    a.activated[i] = y;
  }
  for (const Sums<Real>& s : a.sums) {
    if (!s.y) return;
    y = converted<Real>(static_cast<Sum>(y) + static_cast<Sum>(s.b[s.b_is_row ? n : i]));
    s.y[i] = y;
  }
}

// A warp has `each` outputs of all rows. The first weights are on their way while rows are
// normalised. Bounded by one block: left to itself ptxas spills what is on its way, for more
// blocks.
template <class Real, int kWidth, int kRows>
__global__ void __launch_bounds__(kFewRowsThreads, 1) few_rows(FewRows<Real> a) {
  using Ahead = WeightsAhead<Real, kWidth>;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t first = (int64_t{blockIdx.x} * kFewWarps + threadIdx.x / kWarp) * a.each;
  const int64_t end = std::min(a.N, first + a.each);
  Ahead ahead;
  if (first < end) ahead.load(a.w + first * a.K, 0, a.K);
  const Real* x = a.x;
  if constexpr (kWidth > 1) {
    if (a.weight) x = normalised<kWidth>(a);
  }
  for (int64_t n = first; n < end; ++n) {
    const Real* const w = a.w + n * a.K;
    Computed<Real> sums[kRows] = {};
    for (int64_t k = 0; k < a.K; k += Ahead::kStep) {
      if (n > first || k > 0) ahead.load(w, k, a.K);
      ahead.multiply(x, a.rows, k, a.K, sums);
    }
    TPLAB_UNROLL
    for (int r = 0; r < kRows; ++r) {
      sums[r] = warp_sum(sums[r]);
      if (lane == r && r < a.rows) finish(a, r, n, sums[r]);
    }
  }
}

template <class Op>
const Op* as(std::span<const Operation> list, size_t at) {
  return at < list.size() ? std::get_if<Op>(&list[at]) : nullptr;
}
bool is_same(const Array& x, const Array& y) {
  return x.data() == y.data() && x.shape() == y.shape();
}
bool overlap(const Array& x, const Array& y) {
  const auto begin = [](const Array& a) { return reinterpret_cast<uintptr_t>(a.data()); };
  const auto end = [&](const Array& a) { return begin(a) + static_cast<uintptr_t>(a.bytes()); };
  return x.present() && y.present() && begin(x) < end(y) && begin(y) < end(x);
}

// So that the norm is read as it is alone.
template <class Norm>
bool is_whole_packs(const Norm& norm, const op::Linear& product) {
  const auto fits = [](const Array* x) { return reinterpret_cast<uintptr_t>(x->data()) % 16 == 0; };
  const op::Arrays reads = norm.reads();
  return product.w.shape()[1] * size_bytes(product.x.dtype()) % 16 == 0 && fits(&product.w) &&
         fits(&product.x) &&
         std::all_of(reads.begin(), reads.end(), [&](const Array* x) { return !x || fits(x); });
}

}  // namespace

JoinedProduct joined_product(std::span<const Operation> list) {
  JoinedProduct joined;
  size_t next = 0;
  joined.layer_norm = as<op::LayerNorm>(list, 0);
  joined.rms_norm = as<op::RmsNorm>(list, 0);
  if (joined.layer_norm || joined.rms_norm) ++next;
  joined.product = as<op::Linear>(list, next++);
  if (!joined.product || !has_few_rows(*joined.product)) return {};
  const Array &x = joined.product->x, &w = joined.product->w;
  // Blocks read rows and weights at any time: what is written must not lie there.
  const auto stays = [&](const Array& written, const Array& rows) {
    return !overlap(written, rows) && !overlap(written, w);
  };
  const Array* rows = &x;
  const auto takes_norm = [&](const auto& norm) {
    if (!is_same(norm.y, x) || overlap(norm.x, norm.y) || x.bytes() > kMostNormedBytes ||
        !is_whole_packs(norm, *joined.product))
      return false;
    rows = &norm.x;
    return true;
  };
  if (joined.layer_norm && !takes_norm(*joined.layer_norm)) return {};
  if (joined.rms_norm && !takes_norm(*joined.rms_norm)) return {};
  if (!stays(joined.product->y, *rows) || !stays(joined.product->y, x)) return {};

  const Array* y = &joined.product->y;
  if (const auto* activation = as<op::Activation>(list, next);
      activation && is_same(activation->x, *y) && stays(activation->y, *rows)) {
    joined.activation = activation;
    y = &activation->y;
    ++next;
  }
  for (const op::Add*& sum : joined.sums) {
    const auto* add = as<op::Add>(list, next);
    if (!add || !is_same(add->a, *y) || overlap(add->b, *y) || !stays(add->y, *rows)) break;
    sum = add;
    y = &add->y;
    ++next;
  }
  joined.operations = next;
  return joined;
}

void compute_joined(void* stream, const JoinedProduct& joined) {
  const op::Linear& o = *joined.product;
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    using Sum = Computed<Real>;
    const auto of = [](const Array& x) { return static_cast<Real*>(x.data()); };
    FewRows<Real> a{.x = of(o.x),
                    .w = of(o.w),
                    .bias = of(o.bias),
                    .y = of(o.y),
                    .rows = o.x.shape().rows(),
                    .K = o.w.shape()[1],
                    .N = o.w.shape()[0],
                    .each = 1,
                    .before = nullptr,
                    .weight = nullptr,
                    .norm_bias = nullptr,
                    .normed = nullptr,
                    .eps = 0,
                    .plus = 0,
                    .centred = joined.layer_norm != nullptr,
                    .activated = nullptr,
                    .kind = ActivationKind::gelu,
                    .sums = {}};
    const auto take_norm = [&](const auto& norm) {
      a.before = of(norm.x);
      a.weight = of(norm.weight);
      a.normed = of(norm.y);
      a.eps = static_cast<Sum>(norm.eps);
    };
    if (joined.layer_norm) {
      take_norm(*joined.layer_norm);
      a.norm_bias = of(joined.layer_norm->bias);
    }
    if (joined.rms_norm) {
      take_norm(*joined.rms_norm);
      a.plus = static_cast<Sum>(joined.rms_norm->plus_one ? 1 : 0);
    }
    if (joined.activation) {
      a.activated = of(joined.activation->y);
      a.kind = joined.activation->kind;
    }
    for (size_t s = 0; s < joined.sums.size(); ++s) {
      if (const op::Add* const add = joined.sums[s])
        a.sums[s] = {of(add->b), of(add->y), add->b.count() != add->a.count()};
    }
    a.each =
        std::max<int64_t>(1, (a.N + kFewWarps * kMostFewBlocks - 1) / (kFewWarps * kMostFewBlocks));
    const size_t shared = a.weight ? static_cast<size_t>(o.x.bytes()) : 0;
    const bool packed = are_packs<Real>(a.K, {a.x, a.w, a.before, a.weight, a.norm_bias, a.normed});
    const auto queue = [&](auto width, auto rows) {
      launch(stream, {"few_rows", blocks_for(a.N, kFewWarps * a.each), kFewRowsThreads, shared},
             few_rows<Real, decltype(width)::value, decltype(rows)::value>, a);
    };
    with_width<Real>(packed, [&](auto width) {
      if (a.rows == 1) {
        queue(width, std::integral_constant<int, 1>());
      } else {
        queue(width, std::integral_constant<int, kMostFewRows>());
      }
    });
  });
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
