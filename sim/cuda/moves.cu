// What only moves numbers: it knows no dtype and moves bytes.
#include <algorithm>

#include "sim/cuda/cuda_device.h"
#include "sim/cuda/numbers.h"

namespace tplab {
inline namespace TPLAB_CUDA_SIDE {

namespace {

// Planes of rows of units, each so many units from the next; of all planes' columns together only
// the first `columns` are there.
struct Planes {
  const char* from;
  char* to;
  int64_t planes, rows, row;  // units a row
  int64_t from_pitch, to_pitch, from_plane, to_plane, columns;
};

// A row of a plane a block.
template <class Unit>
__global__ void copy_planes(Planes p) {
  const int64_t i = blockIdx.x, s = blockIdx.y;
  const auto* const from =
      reinterpret_cast<const Unit*>(p.from) + s * p.from_plane + i * p.from_pitch;
  auto* const to = reinterpret_cast<Unit*>(p.to) + s * p.to_plane + i * p.to_pitch;
  const int64_t wanted = std::min(p.row, p.columns - s * p.row);
  for (int64_t j = threadIdx.x; j < wanted; j += blockDim.x) to[j] = from[j];
}

// Units of `item` bytes at first; of as many as all sizes and addresses are multiples of.
template <class Unit>
bool copied_by(void* stream, Planes p, int64_t item) {
  constexpr int64_t kUnit = sizeof(Unit);
  bool fits = reinterpret_cast<uintptr_t>(p.from) % kUnit == 0 &&
              reinterpret_cast<uintptr_t>(p.to) % kUnit == 0;
  for (int64_t* const size :
       {&p.row, &p.from_pitch, &p.to_pitch, &p.from_plane, &p.to_plane, &p.columns}) {
    fits &= *size * item % kUnit == 0;
    *size = *size * item / kUnit;
  }
  if (!fits) return false;
  launch(stream,
         {"copy_planes",
          {static_cast<unsigned>(p.rows), static_cast<unsigned>(p.planes)},
          threads_for_row<1>(p.row)},
         copy_planes<Unit>, p);
  return true;
}
void copy_all(void* stream, const Planes& p, int64_t item) {
  copied_by<Bytes16>(stream, p, item) || copied_by<uint64_t>(stream, p, item) ||
      copied_by<uint32_t>(stream, p, item) || copied_by<uint16_t>(stream, p, item);
}

}  // namespace

void CudaDevice::compute(const op::LastPosition& o) {
  const int64_t B = o.x.shape()[0], T = o.x.shape()[1], C = o.x.shape()[2];
  const int64_t item = size_bytes(o.x.dtype());
  copy_all(stream(),
           {.from = static_cast<const char*>(o.x.data()) + (T - 1) * C * item,
            .to = static_cast<char*>(o.y.data()),
            .planes = 1,
            .rows = B,
            .row = C,
            .from_pitch = T * C,
            .to_pitch = C,
            .from_plane = 0,
            .to_plane = 0,
            .columns = C},
           item);
}

void CudaDevice::compute(const op::JoinShards& o) {
  const int64_t rows = o.y.shape().rows(), n = o.shards.shape()[-1], whole = o.y.shape()[-1];
  copy_all(stream(),
           {.from = static_cast<const char*>(o.shards.data()),
            .to = static_cast<char*>(o.y.data()),
            .planes = (whole + n - 1) / n,
            .rows = rows,
            .row = n,
            .from_pitch = n,
            .to_pitch = whole,
            .from_plane = rows * n,
            .to_plane = n,
            .columns = whole},
           size_bytes(o.y.dtype()));
}

void CudaDevice::compute(const op::CutShards& o) {
  const int64_t rows = o.x.shape().rows(), n = o.shards.shape()[-1], count = o.shards.shape()[0];
  const int64_t item = size_bytes(o.x.dtype());
  copy_all(stream(),
           {.from = static_cast<const char*>(o.x.data()) + o.first * n * item,
            .to = static_cast<char*>(o.shards.data()),
            .planes = count,
            .rows = rows,
            .row = n,
            .from_pitch = o.x.shape()[-1],
            .to_pitch = n,
            .from_plane = n,
            .to_plane = rows * n,
            .columns = count * n},
           item);
}

}  // namespace TPLAB_CUDA_SIDE
}  // namespace tplab
