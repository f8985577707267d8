// The CPU device's part in a training step: unwraps arrays and calls the kernels of
// training_kernels.h.
#include "sim/cpu/cpu_device.h"
#include "sim/cpu/product.h"
#include "sim/cpu/training_kernels.h"

namespace tplab {
namespace {

template <class Real>
cpu::Logits<Real> logits_of(const Array& x, int64_t cols) {
  return {.x = x.as<std::remove_const_t<Real>>(),
          .rows = x.shape().rows(),
          .C = x.shape()[-1],
          .cols = cols};
}

template <class Real>
cpu::CausalAttention<Real> attention_of(const Array& qkv, int64_t heads, const DropoutMask* mask) {
  return {.qkv = qkv.as<Real>(),
          .mask = mask,
          .B = qkv.shape()[0],
          .T = qkv.shape()[1],
          .H = heads,
          .D = qkv.shape()[2] / (3 * heads)};
}

}  // namespace

Array CpuDevice::attention_scratch(DType dtype, int64_t T, int64_t D) {
  return allocate(dtype, Shape{crew_.lanes(), cpu::causal_attention_scratch_count(T, D)});
}

// dx = dy W
void CpuDevice::linear_backward_input(const Array& dy, const Array& w, Array& dx) {
  const int64_t N = dy.shape()[-1], K = dx.shape()[-1];
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = dy.as<Real>(),
                         .a_row = N,
                         .a_depth = 1,
                         .b = w.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = dx.as<Real>(),
                         .c_row = K,
                         .rows = dy.shape().rows(),
                         .cols = K,
                         .depth = N,
                         .add = false},
                        nullptr);
  });
}

// dW += dyᵀ x
void CpuDevice::linear_backward_weight(const Array& dy, const Array& x, Array& dw) {
  const int64_t N = dy.shape()[-1], K = x.shape()[-1];
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = dy.as<Real>(),
                         .a_row = 1,
                         .a_depth = N,
                         .b = x.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = dw.as<Real>(),
                         .c_row = K,
                         .rows = N,
                         .cols = K,
                         .depth = dy.shape().rows(),
                         .add = true},
                        nullptr);
  });
}

void CpuDevice::sum_rows(const Array& dy, Array& db) {
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::sum_rows(crew_, dy.as<Real>(), dy.shape().rows(), dy.shape()[-1], db.as<Real>());
  });
}

void CpuDevice::gelu_backward(Gelu kind, const Array& x, const Array& dy, Array& dx) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu_backward(crew_, kind, x.as<Real>(), dy.as<Real>(), dx.as<Real>(), x.count());
  });
}

void CpuDevice::layer_norm_backward(const Array& x, const Array& weight, double eps,
                                    const Array& dy, Array& dx, Array& dweight, Array* dbias) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::LayerNormBackward<Real> a{.x = x.as<Real>(),
                                         .weight = weight.as<Real>(),
                                         .dy = dy.as<Real>(),
                                         .dx = dx.as<Real>(),
                                         .dweight = dweight.as<Real>(),
                                         .dbias = dbias ? dbias->as<Real>() : nullptr,
                                         .rows = x.shape().rows(),
                                         .C = x.shape()[-1],
                                         .eps = static_cast<Real>(eps)};
    const Array scratch =
        allocate(x.dtype(), Shape{cpu::layer_norm_backward_scratch_count(a.rows, a.C)});
    cpu::layer_norm_backward(crew_, a, scratch.as<Real>());
  });
}

void CpuDevice::embedding_backward(std::span<const int32_t> ids, const Array& dy, int64_t first_row,
                                   Array& dtable) {
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::embedding_backward(crew_, ids, dy.as<Real>(), first_row, dtable.as<Real>(),
                            dtable.shape()[0], dtable.shape()[-1]);
  });
}

void CpuDevice::causal_attention(const Array& qkv, int64_t heads, const DropoutMask* mask, Array& y,
                                 Array& log_sums) {
  dispatch(qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = attention_of<Real>(qkv, heads, mask);
    const Array scratch = attention_scratch(qkv.dtype(), a.T, a.D);
    cpu::causal_attention(crew_, a, y.as<Real>(), log_sums.as<Real>(), scratch.as<Real>());
  });
}

void CpuDevice::causal_attention_backward(const Array& qkv, int64_t heads, const DropoutMask* mask,
                                          const Array& y, const Array& log_sums, const Array& dy,
                                          Array& dqkv) {
  dispatch(qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = attention_of<Real>(qkv, heads, mask);
    const cpu::AttentionGradient<Real> gradient{.y = y.as<Real>(),
                                                .log_sums = log_sums.as<Real>(),
                                                .dy = dy.as<Real>(),
                                                .dqkv = dqkv.as<Real>()};
    const Array scratch = attention_scratch(qkv.dtype(), a.T, a.D);
    cpu::causal_attention_backward(crew_, a, gradient, scratch.as<Real>());
  });
}

void CpuDevice::dropout(const Array& x, const DropoutMask& mask, Array& y) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::dropout(crew_, x.as<Real>(), mask, y.as<Real>(), x.shape()[0], x.shape()[1], x.shape()[2]);
  });
}

void CpuDevice::row_max(const Array& x, int64_t cols, Array& out) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::row_max<Real>(crew_, logits_of<const Real>(x, cols), out.as<Real>());
  });
}

void CpuDevice::pick(const Array& x, int64_t cols, std::span<const int32_t> ids, int64_t first,
                     Array& out) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::pick<Real>(logits_of<const Real>(x, cols), ids, first, out.as<Real>());
  });
}

void CpuDevice::exp_rows(Array& x, int64_t cols, const Array& shift, Array& sums) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::exp_rows(crew_, logits_of<Real>(x, cols), shift.as<Real>(), sums.as<Real>());
  });
}

void CpuDevice::softmax_minus_onehot(Array& x, int64_t cols, const Array& sums,
                                     std::span<const int32_t> ids, int64_t first, double scale) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::softmax_minus_onehot(crew_, logits_of<Real>(x, cols), sums.as<Real>(), ids, first, scale);
  });
}

double CpuDevice::sum_of_squares(const Array& x) {
  return dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    return cpu::sum_of_squares(crew_, x.as<Real>(), x.count());
  });
}

void CpuDevice::adamw(const AdamW& step, const Array& gradient, Array& m, Array& v,
                      Array& parameter) {
  dispatch(gradient.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::adamw(crew_, step, gradient.as<Real>(), m.as<Real>(), v.as<Real>(), parameter.as<Real>(),
               gradient.count());
  });
}

}  // namespace tplab
