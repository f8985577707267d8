// What the processes of one program read must be the same: where machines have no disk in common,
// one's file may be older than another's, and ranks that mix two steps' weights show nothing.
#pragma once

#include <string>

#include "model/training/dataset.h"
#include "model/weights.h"

namespace tplab::cli {

// Throws Error(bad_file) in all processes unless all have read the same from `path`, as far as some
// rows of every tensor, or stretches of the tokens, can tell. Called by all of them; does nothing
// where this one is the whole program.
void require_same_everywhere(const std::string& path, const WeightSource& weights);
void require_same_everywhere(const std::string& path, const Dataset& data);

}  // namespace tplab::cli
