// The CPU device's memory and forward pass: unwraps arrays and calls the kernels of kernels.h.
#include <algorithm>
#include <cstring>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/kernels.h"

namespace tplab {

namespace {

template <class Real>
const Real* or_null(const Array& array) {
  return array.present() ? array.as<Real>() : nullptr;
}

}  // namespace

void CpuDevice::zero(Array& x) {
  auto* const bytes = static_cast<char*>(x.data());
  crew_.parallel_for(x.bytes(), cpu::grain_of(1), [&](int64_t begin, int64_t end) {
    std::memset(bytes + begin, 0, static_cast<size_t>(end - begin));
  });
}

void CpuDevice::compute(const op::Linear& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::linear<Real>(crew_, {.x = o.x.as<Real>(),
                              .w = o.w.as<Real>(),
                              .bias = or_null<Real>(o.bias),
                              .y = o.y.as<Real>(),
                              .rows = o.x.shape().rows(),
                              .k = o.x.shape()[-1],
                              .n = o.w.shape()[0]});
  });
}

void CpuDevice::compute(const op::Add& o) {
  dispatch(o.a.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::add(crew_, o.a.as<Real>(), o.b.as<Real>(), o.b.count() != o.a.count(), o.y.as<Real>(),
             o.a.shape().rows(), o.a.shape()[-1]);
  });
}

void CpuDevice::compute(const op::Gelu& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::gelu(crew_, o.kind, o.x.as<Real>(), o.y.as<Real>(), o.x.count());
  });
}

void CpuDevice::compute(const op::LayerNorm& o) {
  dispatch(o.x.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    cpu::layer_norm<Real>(crew_, {.x = o.x.as<Real>(),
                                  .weight = o.weight.as<Real>(),
                                  .bias = or_null<Real>(o.bias),
                                  .y = o.y.as<Real>(),
                                  .rows = o.x.shape().rows(),
                                  .C = o.x.shape()[-1],
                                  .eps = static_cast<Real>(o.eps)});
  });
}

void CpuDevice::compute(const op::CachedAttention& o) {
  dispatch(o.qkv.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    const cpu::Attention<Real> a{.qkv = o.qkv.as<Real>(),
                                 .keys = o.keys.as<Real>(),
                                 .values = o.values.as<Real>(),
                                 .y = o.y.as<Real>(),
                                 .B = o.qkv.shape()[0],
                                 .T = o.qkv.shape()[1],
                                 .H = o.keys.shape()[1],
                                 .D = o.keys.shape()[3],
                                 .S = o.keys.shape()[2],
                                 .past = o.past};
    const Array scratch =
        allocate(o.qkv.dtype(), Shape{crew_.lanes(), cpu::attention_scratch_count(a)});
    cpu::cached_attention(crew_, a, scratch.as<Real>());
  });
}

void CpuDevice::compute(const op::CrossEntropy& o) {
  dispatch(o.logits.dtype(), [&](auto zero) {
    using Real = decltype(zero);
    *o.out.as<double>() =
        cpu::cross_entropy(crew_, o.logits.as<Real>(), o.targets, o.logits.shape()[-1]);
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

void CpuDevice::compute(const op::Embedding& o) {
  const int64_t row_bytes = o.table.shape()[-1] * size_bytes(o.table.dtype());
  const int64_t table_rows = o.table.shape()[0];
  const auto* const from = static_cast<const char*>(o.table.data());
  auto* const to = static_cast<char*>(o.y.data());
  const auto count = static_cast<int64_t>(o.ids.size());
  crew_.parallel_for(count, cpu::grain_of(row_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = o.ids[static_cast<size_t>(i)] - o.first_row;
      if (row >= 0 && row < table_rows) {
        std::memcpy(to + i * row_bytes, from + row * row_bytes, static_cast<size_t>(row_bytes));
      } else {
        std::memset(to + i * row_bytes, 0, static_cast<size_t>(row_bytes));
      }
    }
  });
}

void CpuDevice::compute(const op::LastPosition& o) {
  const int64_t T = o.x.shape()[1], row_bytes = o.x.shape()[2] * size_bytes(o.x.dtype());
  for (int64_t b = 0; b < o.x.shape()[0]; ++b) {
    std::memcpy(static_cast<char*>(o.y.data()) + b * row_bytes,
                static_cast<const char*>(o.x.data()) + (b * T + T - 1) * row_bytes,
                static_cast<size_t>(row_bytes));
  }
}

void CpuDevice::compute(const op::JoinShards& o) {
  const int64_t item = size_bytes(o.y.dtype());
  const int64_t rows = o.y.shape().rows();
  const int64_t shard_bytes = o.shards.shape()[-1] * item, row_bytes = o.y.shape()[-1] * item;
  const auto* const from = static_cast<const char*>(o.shards.data());
  auto* const to = static_cast<char*>(o.y.data());
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

void CpuDevice::compute(const op::CutShards& o) {
  const int64_t item = size_bytes(o.x.dtype());
  const int64_t rows = o.x.shape().rows(), count = o.shards.shape()[0];
  const int64_t shard_bytes = o.shards.shape()[-1] * item, row_bytes = o.x.shape()[-1] * item;
  const auto* const from = static_cast<const char*>(o.x.data());
  auto* const to = static_cast<char*>(o.shards.data());
  crew_.parallel_for(rows, cpu::grain_of(count * shard_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t s = 0; s < count; ++s) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(to + (s * rows + i) * shard_bytes,
                    from + i * row_bytes + (o.first + s) * shard_bytes,
                    static_cast<size_t>(shard_bytes));
      }
    }
  });
}

std::unique_ptr<Device> make_cpu_device(Crew& crew) { return std::make_unique<CpuDevice>(crew); }

}  // namespace tplab
