// Any bytes as a file of token ids or as a text to learn: an Error, or ids in the vocabulary.
#include <cstdint>
#include <string>

#include "model/training/dataset.h"
#include "sim/error.h"

namespace {

template <class F>
void refuse_or(F&& read) {
  try {
    read();
  } catch (const tplab::Error& error) {
    if (error.kind() != tplab::ErrorKind::bad_file) __builtin_trap();
  }
}

}  // namespace

// The first byte chooses the vocabulary's size.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const int64_t vocab_size = int64_t{1} << (data[0] % 20);
  refuse_or([&] {
    const tplab::TokenList ids(tplab::bytes_in_memory(bytes, "fuzz"), vocab_size);
    for (int64_t i = 0; i < ids.size(); ++i) {
      int32_t id = 0;
      ids.read(i, 1, &id);
      if (id < 0 || id >= vocab_size) __builtin_trap();
    }
  });
  refuse_or([&] { (void)tplab::dataset_of_text(bytes, "fuzz", {}); });
  return 0;
}
