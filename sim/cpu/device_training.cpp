// The CPU device's part in a training step: unwraps arrays and calls the kernels of
// training_kernels.h.
#include "sim/cpu/cpu_device.h"
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

}  // namespace

void CpuDevice::linear_backward_input(const Array& dy, const Array& w, Array& dx) {
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::linear_backward_input<Real>(crew_, {.dy = dy.as<Real>(),
                                             .w = w.as<Real>(),
                                             .dx = dx.as<Real>(),
                                             .rows = dy.shape().rows(),
                                             .k = dx.shape()[-1],
                                             .n = dy.shape()[-1]});
  });
}

void CpuDevice::linear_backward_weight(const Array& dy, const Array& x, Array& dw) {
  dispatch(dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::linear_backward_weight<Real>(crew_, {.dy = dy.as<Real>(),
                                              .x = x.as<Real>(),
                                              .dw = dw.as<Real>(),
                                              .rows = dy.shape().rows(),
                                              .k = x.shape()[-1],
                                              .n = dy.shape()[-1]});
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
    const cpu::CausalAttention<Real> a{.qkv = qkv.as<Real>(),
                                       .mask = mask,
                                       .y = y.as<Real>(),
                                       .log_sums = log_sums.as<Real>(),
                                       .B = qkv.shape()[0],
                                       .T = qkv.shape()[1],
                                       .H = heads,
                                       .D = y.shape()[-1] / heads};
    const Array scratch =
        allocate(qkv.dtype(), Shape{crew_.lanes(), cpu::causal_attention_scratch_count(a.T, a.D)});
    cpu::causal_attention(crew_, a, scratch.as<Real>());
  });
}

void CpuDevice::causal_attention_backward(const Array& qkv, int64_t heads, const DropoutMask* mask,
                                          const Array& y, const Array& log_sums, const Array& dy,
                                          Array& dqkv) {
  dispatch(qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::CausalAttentionBackward<Real> a{.qkv = qkv.as<Real>(),
                                               .mask = mask,
                                               .y = y.as<Real>(),
                                               .log_sums = log_sums.as<Real>(),
                                               .dy = dy.as<Real>(),
                                               .dqkv = dqkv.as<Real>(),
                                               .B = qkv.shape()[0],
                                               .T = qkv.shape()[1],
                                               .H = heads,
                                               .D = y.shape()[-1] / heads};
    const Array scratch =
        allocate(qkv.dtype(), Shape{crew_.lanes(), cpu::causal_attention_scratch_count(a.T, a.D)});
    cpu::causal_attention_backward(crew_, a, scratch.as<Real>());
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
