// Golden files put together in memory, for the tests of what reads them.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/model/checkpoint_files.h"
#include "tests/verify/file_parts.h"
#include "verify/golden.h"

namespace tplab::testing {

inline Part& part(Parts& parts, const std::string& name) {
  for (Part& p : parts)
    if (p.name == name) return p;
  FAIL("no part " << name);
  return parts[0];
}

inline Golden read(const Parts& parts, const Architecture& architecture) {
  const TempFolder folder;
  return read_golden(folder.write("golden.safetensors", file_of(parts)), architecture);
}

// The numbers of something of ours; a failed REQUIRE where the file has none.
inline Numbers values_of(const Golden& golden, const std::string& site) {
  const GoldenTensor* tensor = golden.find(site);
  INFO(site);
  REQUIRE(tensor);
  return tensor->values;
}

// Why a tensor is not compared; empty if it is.
inline std::string why_not(const std::vector<NotCompared>& all, const std::string& tensor) {
  for (const NotCompared& n : all)
    if (n.tensor == tensor) return n.why;
  return "";
}

}  // namespace tplab::testing
