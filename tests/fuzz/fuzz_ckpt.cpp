// Any bytes as a ckpt.pt, as the pickle inside one, or as a meta.pkl: refused with an Error, or
// every parameter can be read.
#include <string>
#include <vector>

#include "model/checkpoints/nanogpt.h"
#include "model/checkpoints/nanogpt_state.h"
#include "model/files/pickle.h"
#include "model/tokenizers/nanogpt_meta.h"
#include "sim/error.h"

namespace {

using namespace tplab;

template <class F>
void refuse_or(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) __builtin_trap();
  }
}

void read_everything(const WeightSource& source) {
  for (const NamedTensor& parameter : named_tensors(source.architecture())) {
    const int64_t cols = cols_of(parameter.shape);
    constexpr int64_t kMostValues = 1
                                    << 22;  // an expanded tensor claims what the file need not hold
    if (cols > kMostValues / parameter.shape[0]) continue;
    std::vector<float> values(static_cast<size_t>(parameter.shape[0] * cols));
    source.read(parameter.name, {{{0, parameter.shape[0]}}, {0, cols}},
                {DType::f32, values.data(), static_cast<int64_t>(values.size())});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with("PK")) {
    refuse_or([&] { read_everything(*open_nanogpt(bytes_in_memory(bytes, "fuzz"))); });
    return 0;
  }
  refuse_or([&] { (void)read_nanogpt_state(pickle::Document(bytes, "fuzz"), "fuzz"); });
  refuse_or([&] { (void)read_nanogpt_meta(*bytes_in_memory(bytes, "fuzz")); });
  return 0;
}
