// What the tests of pictures share: a model small enough to work out by hand, and whether there is
// Graphviz to draw with.
#pragma once

#include <catch2/catch.hpp>

#include "model/config.h"
#include "sim/error.h"
#include "viz/drawing/graphviz.h"

namespace tplab::testing {

// D = 4; V = 70 is padded to 128 at tp 2, so a rank has 64 rows: 64 real ones, and 6.
inline const GptConfig kSmallModel{.n_layer = 2,
                                   .n_head = 4,
                                   .n_embd = 16,
                                   .block_size = 8,
                                   .vocab_size = 70,
                                   .n_inner = 64,
                                   .bias = true};

// If there is none, says that the test is skipped.
inline bool has_graphviz() {
  try {
    (void)drawn({.title = "t"}, "svg");
    return true;
  } catch (const Error& error) {
    WARN("skipped: " << error.what());
    return false;
  }
}

}  // namespace tplab::testing
