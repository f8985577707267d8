// The CPU device's memory and forward pass: unwraps arrays and calls the kernels of kernels.h.
#include <algorithm>
#include <cstring>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/kernels.h"

namespace tplab {

void CpuDevice::zero(Array& x) {
  auto* const bytes = static_cast<char*>(x.data());
  crew_.parallel_for(x.bytes(), cpu::grain_of(1), [&](int64_t begin, int64_t end) {
    std::memset(bytes + begin, 0, static_cast<size_t>(end - begin));
  });
}

void CpuDevice::linear(const Array& x, const Array& w, const Array* bias, Array& y) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::linear<Real>(crew_, {.x = x.as<Real>(),
                              .w = w.as<Real>(),
                              .bias = bias ? bias->as<Real>() : nullptr,
                              .y = y.as<Real>(),
                              .rows = x.shape().rows(),
                              .k = x.shape()[-1],
                              .n = w.shape()[0]});
  });
}

void CpuDevice::add(const Array& a, const Array& b, Array& y) {
  dispatch(a.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::add(crew_, a.as<Real>(), b.as<Real>(), b.count() != a.count(), y.as<Real>(),
             a.shape().rows(), a.shape()[-1]);
  });
}

void CpuDevice::gelu(Gelu kind, const Array& x, Array& y) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu(crew_, kind, x.as<Real>(), y.as<Real>(), x.count());
  });
}

void CpuDevice::layer_norm(const Array& x, const Array& weight, const Array* bias, double eps,
                           Array& y) {
  dispatch(x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::layer_norm<Real>(crew_, {.x = x.as<Real>(),
                                  .weight = weight.as<Real>(),
                                  .bias = bias ? bias->as<Real>() : nullptr,
                                  .y = y.as<Real>(),
                                  .rows = x.shape().rows(),
                                  .C = x.shape()[-1],
                                  .eps = static_cast<Real>(eps)});
  });
}

void CpuDevice::cached_attention(const Array& qkv, int64_t past, Array& keys, Array& values,
                                 Array& y) {
  dispatch(qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::Attention<Real> a{.qkv = qkv.as<Real>(),
                                 .keys = keys.as<Real>(),
                                 .values = values.as<Real>(),
                                 .y = y.as<Real>(),
                                 .B = qkv.shape()[0],
                                 .T = qkv.shape()[1],
                                 .H = keys.shape()[1],
                                 .D = keys.shape()[3],
                                 .S = keys.shape()[2],
                                 .past = past};
    const Array scratch =
        allocate(qkv.dtype(), Shape{crew_.lanes(), cpu::attention_scratch_count(a)});
    cpu::cached_attention(crew_, a, scratch.as<Real>());
  });
}

double CpuDevice::cross_entropy(const Array& logits, std::span<const int32_t> targets) {
  return dispatch(logits.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    return cpu::cross_entropy(crew_, logits.as<Real>(), targets, logits.shape()[-1]);
  });
}

void CpuDevice::sum(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    cpu::sum(crew_, terms, static_cast<Real*>(out), count);
  });
}

void CpuDevice::max(std::span<const void* const> terms, void* out, DType dtype, int64_t count) {
  dispatch(dtype, [&](auto zero) {
    using Real = decltype(zero);
    cpu::max(crew_, terms, static_cast<Real*>(out), count);
  });
}

// The operations that only move numbers know no dtype: they move bytes.

void CpuDevice::copy(const void* from, void* to, int64_t bytes) {
  if (from == to) return;
  crew_.parallel_for(bytes, cpu::grain_of(1), [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<size_t>(end - begin));
  });
}

void CpuDevice::embedding(std::span<const int32_t> ids, const Array& table, int64_t first_row,
                          Array& y) {
  const int64_t row_bytes = table.shape()[-1] * size_bytes(table.dtype());
  const int64_t table_rows = table.shape()[0];
  const auto* const from = static_cast<const char*>(table.data());
  auto* const to = static_cast<char*>(y.data());
  const auto count = static_cast<int64_t>(ids.size());
  crew_.parallel_for(count, cpu::grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = ids[static_cast<size_t>(i)] - first_row;
      if (row >= 0 && row < table_rows) {
        std::memcpy(to + i * row_bytes, from + row * row_bytes, static_cast<size_t>(row_bytes));
      } else {
        std::memset(to + i * row_bytes, 0, static_cast<size_t>(row_bytes));
      }
    }
  });
}

void CpuDevice::last_position(const Array& x, Array& y) {
  const int64_t T = x.shape()[1], row_bytes = x.shape()[2] * size_bytes(x.dtype());
  for (int64_t b = 0; b < x.shape()[0]; ++b) {
    std::memcpy(static_cast<char*>(y.data()) + b * row_bytes,
                static_cast<const char*>(x.data()) + (b * T + T - 1) * row_bytes,
                static_cast<size_t>(row_bytes));
  }
}

void CpuDevice::join_shards(const Array& shards, Array& y) {
  const int64_t item = size_bytes(y.dtype());
  const int64_t rows = y.shape().rows();
  const int64_t shard_bytes = shards.shape()[-1] * item, row_bytes = y.shape()[-1] * item;
  const auto* const from = static_cast<const char*>(shards.data());
  auto* const to = static_cast<char*>(y.data());
  crew_.parallel_for(rows, cpu::grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t s = 0; s * shard_bytes < row_bytes; ++s) {
        const int64_t wanted = std::min(shard_bytes, row_bytes - s * shard_bytes);
        std::memcpy(to + i * row_bytes + s * shard_bytes, from + (s * rows + i) * shard_bytes,
                    static_cast<size_t>(wanted));
      }
    }
  });
}

void CpuDevice::cut_shards(const Array& x, int64_t first, Array& shards) {
  const int64_t item = size_bytes(x.dtype());
  const int64_t rows = x.shape().rows(), count = shards.shape()[0];
  const int64_t shard_bytes = shards.shape()[-1] * item, row_bytes = x.shape()[-1] * item;
  const auto* const from = static_cast<const char*>(x.data());
  auto* const to = static_cast<char*>(shards.data());
  crew_.parallel_for(rows, cpu::grain_of(count * shard_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t s = 0; s < count; ++s) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(to + (s * rows + i) * shard_bytes,
                    from + i * row_bytes + (first + s) * shard_bytes,
                    static_cast<size_t>(shard_bytes));
      }
    }
  });
}

std::unique_ptr<Device> make_cpu_device(Crew& crew) { return std::make_unique<CpuDevice>(crew); }

}  // namespace tplab
