// Errors that say what is wrong, where, and how to fix it; their kind decides the exit code.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace tplab {

// Whose mistake it is. The values are the exit codes of the `tplab` command.
enum class ErrorKind {
  run = 1,          // the run itself went wrong: mismatched collectives, a rank that left early
  usage = 2,        // a request that cannot be met: a tp that does not divide, a bad option
  bad_file = 3,     // an input file that is missing, truncated, corrupt or hostile
  unavailable = 4,  // not on this machine or not in this build
};

// what(): one paragraph, "<what and where>\n  fix: <how>". A fix may be empty.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& what, const std::string& fix);
  ErrorKind kind() const { return kind_; }
  const std::string& problem() const { return problem_; }
  const std::string& fix() const { return fix_; }

 private:
  ErrorKind kind_;
  std::string problem_, fix_;
};

// fail("n_head 6 does not divide by tp 4", "use --tp 1, 2, 3 or 6")
[[noreturn]] void fail(const std::string& what, const std::string& fix);

// fail_file("model.safetensors", "the header's length 9e18 is past the end of the file", "...")
[[noreturn]] void fail_file(const std::string& path, const std::string& what,
                            const std::string& fix);

[[noreturn]] void fail_unavailable(const std::string& what, const std::string& fix);

// Writing failed with this errno: fail_write("run/ckpt.pt: cannot be written", ENOSPC, "choose
// another folder with --out"). A place that is full, or that fails, is unavailable, whatever it is
// called; the fix then is to free space. Any other path is the user's to mend, by `fix`: usage.
[[noreturn]] void fail_write(const std::string& what, int error_number, const std::string& fix);

// Any exception as an Error. One that the system's limits threw (no memory, a size past all memory,
// no more threads) is unavailable, any other is of the run and has no fix.
// Throws std::bad_alloc if there is no memory for the words.
Error as_error(const std::exception_ptr& thrown);

}  // namespace tplab
