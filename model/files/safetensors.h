// Safetensors files: the header read and checked completely when opened, values read by position.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/bytes.h"
#include "model/files/stored.h"

namespace tplab {

struct TensorInfo {
  std::string name;
  StoredType type;
  Shape shape;         // empty: a scalar
  int64_t count = 0;   // the product of the shape
  int64_t offset = 0;  // of the first byte, from the beginning of the file
};

// Safe to read from many threads at once. Everything throws Error(bad_file).
class SafetensorsFile {
 public:
  // Once open, every tensor is known to lie within the file, to have the bytes that its shape and
  // format need, and to share none of them.
  explicit SafetensorsFile(const std::string& path);
  explicit SafetensorsFile(std::shared_ptr<const ByteSource> bytes);

  const std::string& path() const { return bytes_->name(); }
  const std::shared_ptr<const ByteSource>& bytes() const { return bytes_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in the order of the data
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  const TensorInfo* find(std::string_view name) const;  // null where there is none
  const TensorInfo& at(std::string_view name) const;    // throws, and lists the names

  // All values of a tensor. Integers are read as doubles exactly up to 2^53; floats are not read
  // as integers.
  std::vector<double> read_doubles(std::string_view name) const;
  std::vector<int64_t> read_integers(std::string_view name) const;

 private:
  std::shared_ptr<const ByteSource> bytes_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;  // into tensors_
  std::map<std::string, std::string> metadata_;
};

}  // namespace tplab
