// Which line of the model each step of a recording comes from, and why it is there.
//
// A line is found by the call that makes the step (show("qkv", ..), S::read(x)) in the function
// that makes it, in the source as it was compiled. A call that is gone, or there twice, is an
// error: the page never shows a line that does something else.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "viz/explore/recording.h"

namespace tplab::explore {

struct Anchor {
  std::string_view module;  // "attn": the site's last scope; "block" for any block
  Phase phase;
  std::string_view what;  // the shown tensor's name, or the collective: "all_reduce", "largest"
  int nth;                // of several alike at one site: 0 is the first
  std::string_view file, function, call;
  std::string_view why;  // one or two sentences
};

// Every kind of step there is.
const std::vector<Anchor>& anchors();

// Part of a source file.
struct Excerpt {
  std::string file;
  int first_line = 1;  // in the file
  std::vector<std::string> lines = {};
  bool operator==(const Excerpt&) const = default;
};

// A step's code.
struct Code {
  Excerpt function;
  int line = 0;         // which of the function's lines
  Excerpt stream = {};  // what S:: is in this run (model/layers/stream.h), where the line uses it
  std::string_view why;
};

using Sources = std::function<std::string_view(std::string_view path)>;  // embedded_text

// Throws Error(run) for an anchor whose function or call is not in the source exactly once.
Code code_of(const Anchor& anchor, bool sp, const Sources& sources);

// The anchor of steps[i]. Throws Error(run) where there is none.
const Anchor& anchor_of(const std::vector<Step>& steps, size_t i);

}  // namespace tplab::explore
