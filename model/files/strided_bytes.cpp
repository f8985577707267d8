// Elements are gathered along the dimension in which they lie closer together.
#include "model/files/strided_bytes.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tplab {
namespace {

constexpr int64_t kStridedStagingBytes = int64_t{1} << 20;
constexpr int64_t kStridedGapBytes =
    4096;  // skipping more costs less, as a system call, than reading it

class StridedBytes final : public ByteSource {
 public:
  explicit StridedBytes(const StridedView& view)
      : ByteSource(view.bytes->name(), view.rows * view.cols * view.item_bytes), view_(view) {}

 private:
  // Whole rows together, and what is asked for of the first and the last one.
  void read_within(int64_t offset, void* out, int64_t count) const override {
    const int64_t row_bytes = view_.cols * view_.item_bytes;
    auto* to = static_cast<char*>(out);
    while (count > 0) {
      const int64_t row = offset / row_bytes, in_row = offset % row_bytes;
      int64_t taken = std::min(count, row_bytes - in_row);
      if (in_row == 0 && count >= row_bytes) {
        const int64_t n_rows = count / row_bytes;
        taken = n_rows * row_bytes;
        gather(row, n_rows, to);
      } else {
        std::vector<char> whole(static_cast<size_t>(row_bytes));
        gather(row, 1, whole.data());
        std::memcpy(to, whole.data() + in_row, static_cast<size_t>(taken));
      }
      to += taken;
      offset += taken;
      count -= taken;
    }
  }

  // Rows [row, row + n_rows), to a matrix [n_rows, cols].
  void gather(int64_t row, int64_t n_rows, char* to) const {
    const int64_t size = view_.item_bytes, row_bytes = view_.cols * size;
    const int64_t first = view_.offset + row * view_.row_stride * size;
    if (view_.col_stride <= view_.row_stride || n_rows == 1) {
      for (int64_t r = 0; r < n_rows; ++r)
        read_line(first + r * view_.row_stride * size, view_.cols, view_.col_stride,
                  to + r * row_bytes, size);
    } else {
      for (int64_t c = 0; c < view_.cols; ++c)
        read_line(first + c * view_.col_stride * size, n_rows, view_.row_stride, to + c * size,
                  row_bytes);
    }
  }

  // `count` elements, `stride` elements apart from `offset` on, to places `pitch` bytes apart.
  void read_line(int64_t offset, int64_t count, int64_t stride, char* to, int64_t pitch) const {
    const int64_t size = view_.item_bytes;
    if (stride == 1 && pitch == size) return view_.bytes->read(offset, to, count * size);
    const int64_t apart = stride * size;
    const int64_t at_once = apart == 0                 ? count
                            : apart > kStridedGapBytes ? 1
                                                       : kStridedStagingBytes / apart;
    std::vector<char> staged;
    for (int64_t begin = 0; begin < count; begin += at_once) {
      const int64_t n = std::min(at_once, count - begin);
      staged.resize(static_cast<size_t>((n - 1) * apart + size));
      view_.bytes->read(offset + begin * apart, staged.data(), static_cast<int64_t>(staged.size()));
      for (int64_t i = 0; i < n; ++i)
        std::memcpy(to + (begin + i) * pitch, staged.data() + i * apart, static_cast<size_t>(size));
    }
  }

  StridedView view_;
};

}  // namespace

std::shared_ptr<const ByteSource> strided_bytes(const StridedView& view) {
  return std::make_shared<StridedBytes>(view);
}

}  // namespace tplab
