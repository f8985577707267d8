// Writes one safetensors file from many ranks, each its slices, and puts it in place at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/slice.h"
#include "sim/dtype.h"

namespace tplab {

struct StateTensor {
  std::string name;
  Shape shape;  // [n] or [rows, cols]
};

// The file is written as PATH.part, synced, and renamed over PATH by commit(): a kill at any moment
// leaves the old file or the new one, whole. Without commit() the .part goes away with the writer
// that made it.
// A .part that a killed process left behind is written over; one that a living process is writing
// is refused.
//
// Everything throws as fail_write does, and says that the old file is as it was.
class StateWriter {
 public:
  // Writes the header and reserves the whole size, so that a full disk is refused here.
  StateWriter(const std::string& path, const std::vector<StateTensor>& tensors, DType dtype,
              const std::map<std::string, std::string>& metadata);
  // Joins the writer of another rank, which has made the file and will commit it. It may be another
  // process's: they meet in the file alone.   REQUIRES: the same tensors and dtype.
  static std::unique_ptr<StateWriter> join(const std::string& path,
                                           const std::vector<StateTensor>& tensors, DType dtype);
  ~StateWriter();
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;

  // Numbers [local_begin, local_end) of the slice, seen as one row-major list, from `data`, which
  // points to number local_begin and is of the file's dtype. (A ZeRO rank holds only a range of its
  // slice of a moment.) Ranks may call it at the same time: each writes by position.
  //   REQUIRES: the slice lies within the tensor and the range within the slice.
  void write(std::string_view tensor, const Slice& slice, int64_t local_begin, int64_t local_end,
             const void* data);

  // Once, by a writer that joined, after its last write.
  void finish();
  // Once, by the writer that made the file, when those that joined it have finished. Numbers never
  // written are zeros.
  // second: another name for the same file, in the same folder; it is in place before PATH is.
  void commit(const std::string& second = "");

  int64_t bytes() const { return bytes_; }  // of the whole file

 private:
  struct Place {
    int64_t offset, rows, cols;
  };
  StateWriter(const std::string& path, DType dtype);  // of no file yet

  [[noreturn]] void refuse(const std::string& what, int error_number) const;
  void put_in_place_as(const std::string& second) const;
  void lay_out(const std::vector<StateTensor>& tensors, int64_t header_bytes);
  void write_bytes(const void* data, int64_t count, int64_t offset);

  std::string path_, part_;
  int64_t value_bytes_, bytes_ = 0;
  std::map<std::string, Place, std::less<>> places_;
  int fd_ = -1;  // -1 once it is committed
  bool joined_ = false;
};

}  // namespace tplab
