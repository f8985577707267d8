// A library that is looked for when it is first needed, so that a program that never needs it
// starts where it is missing.
#pragma once

#include <initializer_list>
#include <string>

namespace tplab {

// Stays loaded to the end of the program: what it began (threads, a driver) may still run then.
class SharedLibrary {
 public:
  // The first of `names` that the loader finds, in its own folders and then in `folder` (where the
  // build found it; may be empty). `what`: "cuBLASLt", for errors.
  // Throws Error(unavailable), with `fix`.
  SharedLibrary(std::string what, std::initializer_list<const char*> names,
                const std::string& folder, std::string fix);

  // Gives `function` the address of its name. Throws Error(unavailable) where the library has none,
  // and so is of another version.
  template <class Function>
  void find(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(address(name));
  }
  // The same; null where the library has none.
  template <class Function>
  void find_if_there(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(address_or_null(name));
  }
  const std::string& path() const { return path_; }  // as it was loaded

 private:
  void* address(const char* name) const;
  void* address_or_null(const char* name) const;

  std::string what_, fix_, path_;
  void* handle_ = nullptr;
};

}  // namespace tplab
