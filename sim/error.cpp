#include "sim/error.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "sim/text/utf8.h"

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

Error as_error(const std::exception_ptr& thrown) {
  const char* const kLess = "use a smaller model, batch or sequence, or fewer ranks";
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {ErrorKind::unavailable, "out of memory", kLess};
  } catch (const std::length_error&) {  // a vector's or a string's, of more than can be
    return {ErrorKind::unavailable, "out of memory: something would be larger than all memory",
            kLess};
  } catch (const std::system_error& error) {
    const bool is_limit = error.code() == std::errc::resource_unavailable_try_again ||
                          error.code() == std::errc::not_enough_memory;
    if (is_limit)
      return {ErrorKind::unavailable, std::string("the system gives no more: ") + error.what(),
              "use fewer ranks, or raise the limits (ulimit -u, ulimit -v)"};
    return {ErrorKind::run, error.what(), ""};
  } catch (const std::exception& error) {
    return {ErrorKind::run, error.what(), ""};
  } catch (...) {
    return {ErrorKind::run, "threw something that is not a std::exception", ""};
  }
}

}  // namespace tplab
