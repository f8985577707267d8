// Any text as a config.json or as a model.safetensors.index.json: refused with an Error, or within
// bounds.
#include <string_view>

#include "model/checkpoints/huggingface.h"
#include "sim/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tplab;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    check(parse_gpt2_config(text, "fuzz"), "fuzz");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) __builtin_trap();
  }
  try {
    for (const std::string& file : parse_shard_index(text, "fuzz").files) {
      if (file.empty() || file == ".." || file.find('/') != std::string::npos) __builtin_trap();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) __builtin_trap();
  }
  return 0;
}
