#include "sim/error.h"

#include <cerrno>
#include <cstring>

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

void fail_write(const std::string& what, int error_number, const std::string& fix) {
  const std::string problem = what + ": " + std::strerror(error_number);
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      fail_unavailable(problem, "free some space there, or write to another place");
    case EFBIG:
      fail_unavailable(problem, "raise the limit on the size of files (ulimit -f)");
    case EIO:
      fail_unavailable(problem, "the disk failed: look after it, and write to another place");
    case EMFILE:
    case ENFILE:
      fail_unavailable(problem, "raise the limit on open files (ulimit -n)");
    case ENOMEM:
      fail_unavailable(problem, "free some memory");
    default:
      fail(problem, fix);
  }
}

}  // namespace tplab
