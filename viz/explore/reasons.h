// Why each kind of step is there.
#pragma once

#include <string_view>
#include <vector>

#include "viz/explore/recording.h"

namespace tplab::explore {

struct Reason {
  std::string_view module;  // "attn": the site's last scope; "block" for any block
  Phase phase;
  std::string_view what;  // the shown tensor's name, or the collective: "all_reduce", "largest"
  int nth;                // of several alike at one site: 0 is the first
  std::string_view why;   // one or two sentences
};

// Every kind of step there is.
const std::vector<Reason>& reasons();

// The reason of steps[i]. Throws Error(run) where there is none.
const Reason& reason_of(const std::vector<Step>& steps, size_t i);

}  // namespace tplab::explore
