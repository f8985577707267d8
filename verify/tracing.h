// A verification's trace: what could not be written or compared is refused before anything runs.
#pragma once

#include <optional>

#include "verify/trace_file.h"
#include "verify/verify.h"

namespace tplab {

class Tracing {
 public:
  // Of the report's runs, whose meshes and dtypes are known. Throws as verify() says.
  Tracing(const WeightSource& source, const VerifyOptions& options, const Report& report);

  // When all have run: takes what the ranks did out of the report, which gets the comparison.
  void finish(Report& report);

 private:
  RunTrace ours_;
  std::string path_;
  std::optional<RunTrace> theirs_;
  bool writes_;
  std::optional<TraceWriter> writer_;  // in the first process alone
};

}  // namespace tplab
