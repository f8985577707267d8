// Any bytes as a safetensors file: refused with an Error, or all tensors can be read.
#include <string>

#include "model/files/safetensors.h"
#include "sim/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tplab;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  try {
    const SafetensorsFile file(bytes_in_memory(std::move(bytes), "fuzz"));
    int64_t total = 0;
    for (const TensorInfo& info : file.tensors()) {
      const int64_t stored_bytes = info.count * row_of(info.type).size_bytes;
      // What the header promises once it is accepted.
      if (info.offset < 8 || info.offset + stored_bytes > static_cast<int64_t>(size))
        __builtin_trap();
      total += stored_bytes;
      if (info.type != StoredType::f8) (void)file.read_doubles(info.name);
    }
    if (total > static_cast<int64_t>(size)) __builtin_trap();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) __builtin_trap();
  }
  return 0;
}
