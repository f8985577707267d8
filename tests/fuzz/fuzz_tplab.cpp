// Any bytes as tplab's own checkpoint: refused with an Error, or all of it can be read.
#include <string>
#include <vector>

#include "model/checkpoints/tplab_checkpoint.h"
#include "sim/error.h"

namespace {

void read_all(const tplab::TplabCheckpoint& checkpoint) {
  using namespace tplab;
  if (checkpoint.step() < 0 || !(checkpoint.best_val_loss() >= 0)) __builtin_trap();
  for (const NamedTensor& parameter : named_tensors(checkpoint.architecture())) {
    const int64_t cols = cols_of(parameter.shape);
    const Slice whole = {{{0, parameter.shape[0]}}, {0, cols}};
    std::vector<double> values(static_cast<size_t>(whole.count()));
    const HostSpan out = {DType::f64, values.data(), whole.count()};
    checkpoint.read(parameter.name, whole, out);
    checkpoint.read_state("m", parameter.name, whole, out);
    checkpoint.read_state("v", parameter.name, whole, whole.count() / 2,
                          {DType::f64, values.data(), whole.count() - whole.count() / 2});
  }
  if (const auto tokenizer = checkpoint.tokenizer()) {
    if (tokenizer->vocab_size() > gpt_config(checkpoint.architecture()).vocab_size)
      __builtin_trap();
    (void)tokenizer->decode(std::vector<int>{0});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tplab;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  try {
    read_all(TplabCheckpoint(bytes_in_memory(std::move(bytes), "fuzz")));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_file) __builtin_trap();
  }
  return 0;
}
