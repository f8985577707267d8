// A WeightSource over tensors in files: what is left once a format's names and headers are read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/checkpoints/bytes.h"
#include "model/checkpoints/stored.h"
#include "model/weights.h"

namespace tplab {

struct FileTensor {
  std::string name;  // as in the file
  std::shared_ptr<const ByteSource> bytes;
  int64_t offset = 0;  // of its first byte
  StoredType type = StoredType::f32;
  Shape shape;                        // as in the file
  bool is_transposed = false;         // the file has [in, out] where the parameter is [out, in]
  bool bytes_are_transposed = false;  // of shape [rows, cols], the file has the columns one by one
};
using FileTensors = std::map<std::string, FileTensor, std::less<>>;  // under nanoGPT's names

// check(config), as Error(bad_file).
void check_file_config(const GptConfig& config, const std::string& path);

// Throws Error(bad_file), which begins with `path` and lists the names as the file has them, unless
// the tensors are exactly parameters(config): none missing, none extra, the right shapes, types
// that are weights. `notes`: what the source is to say (WeightSource::notes).
std::unique_ptr<WeightSource> make_file_weights(const GptConfig& config, FileTensors tensors,
                                                const std::string& path,
                                                const std::string& description,
                                                std::vector<std::string> notes = {});

// Whether two tensors hold the same bytes in the same format and shape. Stops at the first
// difference.
bool are_equal(const FileTensor& a, const FileTensor& b);

}  // namespace tplab
