#include "sim/error.h"

namespace tplab {

Error::Error(ErrorKind kind, const std::string& what, const std::string& fix)
    : std::runtime_error(fix.empty() ? what : what + "\n  fix: " + fix),
      kind_(kind),
      problem_(what),
      fix_(fix) {}

void fail(const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::usage, what, fix);
}

void fail_file(const std::string& path, const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::bad_file, path + ": " + what, fix);
}

void fail_unavailable(const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::unavailable, what, fix);
}

}  // namespace tplab
