// Libraries that are loaded when they are first needed: what is missing is said, with the way out.
#include "sim/machine/shared_library.h"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "sim/error.h"

namespace tplab {
namespace {

Error refused(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::run, "nothing was refused", ""};
}

TEST_CASE("shared_library: the first that is there is loaded, and its functions are found") {
  const SharedLibrary library("the C library", {"libno_such_thing.so.7", "libm.so.6"}, "", "");
  CHECK(library.path() == "libm.so.6");
  double (*cosine)(double) = nullptr;
  library.find("cos", cosine);
  CHECK(cosine(0) == 1);
}

TEST_CASE("shared_library: one that is missing, or of another version, is unavailable") {
  const Error missing = refused(
      [] { SharedLibrary("Nothing", {"libno_such_thing.so.7"}, "/no/such/folder", "install it"); });
  CHECK(missing.kind() == ErrorKind::unavailable);
  CHECK_THAT(missing.problem(), Catch::Contains("Nothing cannot be loaded") &&
                                    Catch::Contains("libno_such_thing.so.7"));
  CHECK(missing.fix() == "install it");

  const SharedLibrary library("the C library", {"libm.so.6"}, "", "take another");
  void (*function)() = nullptr;
  const Error older = refused([&] { library.find("no_such_function", function); });
  CHECK(older.kind() == ErrorKind::unavailable);
  CHECK_THAT(older.problem(), Catch::Contains("is of another version: it has no no_such_function"));
  CHECK(older.fix() == "take another");
}

}  // namespace
}  // namespace tplab
