// The source of each step of a recording: the run says where it was called, and the text is that
// which was compiled.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "viz/explore/recording.h"

namespace tplab::explore {

// Part of a source file.
struct Excerpt {
  std::string file;
  int first_line = 1;  // in the file
  std::vector<std::string> lines = {};
  bool operator==(const Excerpt&) const = default;
};

// A step's code.
struct Code {
  Excerpt function;     // of the model
  int line = 0;         // which of its lines
  Excerpt stream = {};  // what S:: is in this run (model/layers/stream.h), where the line uses it
};

using Sources = std::function<std::string_view(std::string_view path)>;  // embedded_text

// Throws Error(run) for a step that was called where no function of the sources is.
Code code_of(const Step& step, const Sources& sources);

}  // namespace tplab::explore
