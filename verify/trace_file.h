// A trace as a file: a line of JSON each for what it is of, for every rank and for every entry.
//
//   {"schema": "tplab/run-trace/1", "build", "device", "comm", "source", "weights", "tokens",
//    "seed", "backward", "steps", "batch", "seq", "algorithm"}
//   {"run": "tp 2, dp 1, f64", "rank": 0, "entries": 312}       and then so many of
//   ["block 0/attn", "linear", 24576, "f64"]                    site, what, elements, dtype
//   ["block 0/attn/qkv", "shown", 24576, "f64", "93a1…"]        and the hash of the values' bits
//   {"end": true, "lines": 5219}                                with this one
//
// Ranks come in order, run after run. Hashes are 16 hexadecimal digits.
#pragma once

#include <cstdio>
#include <string>

#include "model/files/bytes.h"
#include "verify/run_trace.h"

namespace tplab {

// Throws Error(bad_file) that names the line for what is no such file, or is cut short.
RunTrace read_trace(const ByteSource& file);

// The file is PATH.part until commit(), without which nothing is left: so an unwritable one is
// refused before the work, and a run that fails does not cost the user an older trace.
// Everything throws as fail_write does.
class TraceWriter {
 public:
  explicit TraceWriter(const std::string& path);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;
  void commit(const RunTrace& trace);  // once

 private:
  void line(const std::string& text);
  [[noreturn]] void refuse(int reason) const;

  std::string path_, part_;
  std::FILE* file_;
  int64_t lines_ = 0;
};

}  // namespace tplab
