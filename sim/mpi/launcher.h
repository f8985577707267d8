// What the environment says of the launcher that started this process.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace tplab {

struct Launcher {
  std::string variable;  // that told: "OMPI_COMM_WORLD_SIZE"
  int size = 0;          // processes that it started; 0: it does not say
  int rank = 0;
};

// None where no launcher started this process.   get: getenv, but for tests
std::optional<Launcher> find_launcher(const std::function<const char*(const char*)>& get);

}  // namespace tplab
