// What only moves numbers, on the CPU: it knows no dtype and moves bytes.
#include <algorithm>
#include <cstring>

#include "sim/cpu/cpu_device.h"
#include "sim/cpu/tasks.h"

namespace tplab {

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

}  // namespace tplab
