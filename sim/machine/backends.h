// What a world can be made of: devices and communicators, by the names that options have for them.
// To add one is a row here and where World makes it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tplab {

struct Backend {
  std::string_view name;
  bool built;              // into this binary
  std::string_view what;   // "f32, f64": what is to be said of it in a word, or why it is lacking
  bool own_order = false;  // see adds_in_own_order
};

// The default comes first, and is built. The meta device is not among them: it is no choice where
// numbers are wanted.
std::span<const Backend> devices();
std::span<const Backend> comms();

// Whether `comm` adds ranks' terms in an order of its own, whatever the algorithm; "gather" adds in
// the ranks' order over any. False of a name that is none of comms().
bool adds_in_own_order(std::string_view comm);

// "cpu (cuda is not in this build)"
std::string names_text(std::span<const Backend> backends);

// Throws Error(unavailable) for one that is not built, and Error(usage) for any other name.
void check_backend(std::span<const Backend> backends, std::string_view option,
                   std::string_view name);

}  // namespace tplab
