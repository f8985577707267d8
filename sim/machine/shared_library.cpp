#include "sim/machine/shared_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <utility>

#include "sim/error.h"

namespace tplab {

SharedLibrary::SharedLibrary(std::string what, std::initializer_list<const char*> names,
                             const std::string& folder, std::string fix)
    : what_(std::move(what)), fix_(std::move(fix)) {
  std::string reason;
  const auto try_path = [&](const std::string& path) {
    if (handle_) return;
    handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) {
      path_ = path;
    } else if (const char* const said = ::dlerror(); said && reason.empty()) {
      reason = said;
    }
  };
  for (const char* const name : names) try_path(name);
  if (!folder.empty())
    for (const char* const name : names) try_path(folder + "/" + name);
  if (!handle_) fail_unavailable(fmt::format("{} cannot be loaded: {}", what_, reason), fix_);
}

void* SharedLibrary::address_or_null(const char* name) const { return ::dlsym(handle_, name); }

void* SharedLibrary::address(const char* name) const {
  void* const found = address_or_null(name);
  if (!found)
    fail_unavailable(fmt::format("{} ({}) is of another version: it has no {}", what_, path_, name),
                     fix_);
  return found;
}

}  // namespace tplab
