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
cpu::CausalAttention<Real> attention_of(const Array& qkv, int64_t heads,
                                        const std::optional<DropoutMask>& mask) {
  return {.qkv = qkv.as<Real>(),
          .mask = mask ? &*mask : nullptr,
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
void CpuDevice::compute(const op::LinearBackwardInput& o) {
  const int64_t N = o.dy.shape()[-1], K = o.dx.shape()[-1];
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = o.dy.as<Real>(),
                         .a_row = N,
                         .a_depth = 1,
                         .b = o.w.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = o.dx.as<Real>(),
                         .c_row = K,
                         .rows = o.dy.shape().rows(),
                         .cols = K,
                         .depth = N,
                         .add = false},
                        nullptr);
  });
}

// dW += dyᵀ x
void CpuDevice::compute(const op::LinearBackwardWeight& o) {
  const int64_t N = o.dy.shape()[-1], K = o.x.shape()[-1];
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::multiply<Real>(crew_,
                        {.a = o.dy.as<Real>(),
                         .a_row = 1,
                         .a_depth = N,
                         .b = o.x.as<Real>(),
                         .b_depth = K,
                         .b_col = 1,
                         .c = o.dw.as<Real>(),
                         .c_row = K,
                         .rows = N,
                         .cols = K,
                         .depth = o.dy.shape().rows(),
                         .add = true},
                        nullptr);
  });
}

void CpuDevice::compute(const op::SumRows& o) {
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::sum_rows(crew_, o.dy.as<Real>(), o.dy.shape().rows(), o.dy.shape()[-1], o.db.as<Real>());
  });
}

void CpuDevice::compute(const op::GeluBackward& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu_backward(crew_, o.kind, o.x.as<Real>(), o.dy.as<Real>(), o.dx.as<Real>(),
                       o.x.count());
  });
}

void CpuDevice::compute(const op::LayerNormBackward& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::LayerNormBackward<Real> a{.x = o.x.as<Real>(),
                                         .weight = o.weight.as<Real>(),
                                         .dy = o.dy.as<Real>(),
                                         .dx = o.dx.as<Real>(),
                                         .dweight = o.dweight.as<Real>(),
                                         .dbias = o.dbias.present() ? o.dbias.as<Real>() : nullptr,
                                         .rows = o.x.shape().rows(),
                                         .C = o.x.shape()[-1],
                                         .eps = static_cast<Real>(o.eps)};
    const Array scratch =
        allocate(o.x.dtype(), Shape{cpu::layer_norm_backward_scratch_count(a.rows, a.C)});
    cpu::layer_norm_backward(crew_, a, scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::EmbeddingBackward& o) {
  dispatch(o.dy.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::embedding_backward(crew_, o.ids, o.dy.as<Real>(), o.first_row, o.dtable.as<Real>(),
                            o.dtable.shape()[0], o.dtable.shape()[-1]);
  });
}

void CpuDevice::compute(const op::CausalAttention& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = attention_of<Real>(o.qkv, o.heads, o.mask);
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention(crew_, a, o.y.as<Real>(), o.log_sums.as<Real>(), scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::CausalAttentionBackward& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const auto a = attention_of<Real>(o.qkv, o.heads, o.mask);
    const cpu::AttentionGradient<Real> gradient{.y = o.y.as<Real>(),
                                                .log_sums = o.log_sums.as<Real>(),
                                                .dy = o.dy.as<Real>(),
                                                .dqkv = o.dqkv.as<Real>()};
    const Array scratch = attention_scratch(o.qkv.dtype(), a.T, a.D);
    cpu::causal_attention_backward(crew_, a, gradient, scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::Dropout& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::dropout(crew_, o.x.as<Real>(), o.mask, o.y.as<Real>(), o.x.shape()[0], o.x.shape()[1],
                 o.x.shape()[2]);
  });
}

void CpuDevice::compute(const op::RowMax& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::row_max<Real>(crew_, logits_of<const Real>(o.x, o.cols), o.out.as<Real>());
  });
}

void CpuDevice::compute(const op::Pick& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::pick<Real>(logits_of<const Real>(o.x, o.cols), o.ids, o.first, o.out.as<Real>());
  });
}

void CpuDevice::compute(const op::ExpRows& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::exp_rows(crew_, logits_of<Real>(o.x, o.cols), o.shift.as<Real>(), o.sums.as<Real>());
  });
}

void CpuDevice::compute(const op::SoftmaxMinusOnehot& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::softmax_minus_onehot(crew_, logits_of<Real>(o.x, o.cols), o.sums.as<Real>(), o.ids,
                              o.first, o.scale);
  });
}

void CpuDevice::compute(const op::SumOfSquares& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    *o.out.as<double>() = cpu::sum_of_squares(crew_, o.x.as<Real>(), o.x.count());
  });
}

void CpuDevice::compute(const op::AdamW& o) {
  dispatch(o.gradient.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::adamw(crew_, o.step, o.gradient.as<Real>(), o.m.as<Real>(), o.v.as<Real>(),
               o.parameter.as<Real>(), o.gradient.count());
  });
}

}  // namespace tplab
