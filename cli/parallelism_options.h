// The options that say how a step is spread over ranks: one name and one help each, in every
// command that takes a step.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "model/parallelism.h"

namespace tplab::cli {

// Calls add(name without dashes, member, help) for each, --tp and --uneven apart, which split a
// model that takes no steps too.
template <class Add>
void for_each_option(Parallelism& p, const Add& add) {
  add("dp", p.dp, "replicas of the model, each with its part of the batch");
  add("sp", p.sp, "sequence parallelism: the stream is split over the tp ranks");
  add("sp-regather", p.regather, "gather inputs again in the backward pass");
  add("zero", p.zero, "what replicas share out: 1 optimizer states, 2 gradients too");
  add("recompute", p.recompute, "keep only each block's input, and compute it twice");
  add("accumulate", p.accumulation, "micro-batches a step");
}

// Adds them, or those for which `wanted` is true by name, and tells `each` of every one.
void add_parallelism(CLI::App& app, Parallelism& parallelism,
                     const std::function<void(CLI::Option&)>& each = {},
                     const std::function<bool(const std::string& name)>& wanted = {});

}  // namespace tplab::cli
