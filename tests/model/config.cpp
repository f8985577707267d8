#include <catch2/catch.hpp>
#include <limits>

#include "model/parameters.h"
#include "sim/error.h"

using namespace tplab;
using Catch::Contains;

TEST_CASE("config: presets have nanoGPT's sizes and unknown names list them") {
  CHECK(find_preset("nano").config == GptConfig{6, 6, 384, 256, 65, 1536, false, true});
  const GptConfig& xl = find_preset("gpt2-xl").config;
  int64_t count = 0;
  for (const NamedTensor& parameter : named_tensors(xl)) {
    count += parameter.shape.count();
  }
  CHECK(count == 1557611200);  // as transformers counts gpt2-xl
  for (const Preset& preset : presets()) CHECK_NOTHROW(check(preset.config, "preset"));
  try {
    find_preset("gpt3");
    FAIL("was accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    CHECK_THAT(error.fix(), Contains("nano-cpu, nano, gpt2, gpt2-medium, gpt2-large, gpt2-xl"));
  }
}

TEST_CASE("config: more parameters than bytes can be counted for are refused") {
  GptConfig config = {10000, 1, 1 << 24, 1, 1, 1 << 24};
  CHECK_THROWS_AS(check(config, "test"), Error);
  config.n_layer = 1;
  CHECK_NOTHROW(check(config, "test"));
  config.layer_norm_eps = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(check(config, "test"), Error);
}
