#include "sim/error.h"

#include "sim/utf8.h"

namespace tplab {

Error::Error(ErrorKind kind, const std::string& what, const std::string& fix)
    : std::runtime_error(printable(fix.empty() ? what : what + "\n  fix: " + fix)),
      kind_(kind),
      problem_(printable(what)),
      fix_(printable(fix)) {}

void fail(const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::usage, what, fix);
}

void fail_file(const std::string& path, const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::bad_file, printable_line(path) + ": " + what, fix);
}

void fail_unavailable(const std::string& what, const std::string& fix) {
  throw Error(ErrorKind::unavailable, what, fix);
}

}  // namespace tplab
