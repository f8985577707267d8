// Text that arrives in pieces which may end inside a character, given on in whole characters.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "sim/text/utf8.h"

namespace tplab::cli {

class Utf8Stream {
 public:
  // The whole characters of what came before and `bytes`; the start of a character is kept for the
  // next call. Bytes that can never be part of a character become U+FFFD.
  std::string add(std::string_view bytes) {
    waiting_ += bytes;
    std::string text;
    size_t at = 0;
    while (at < waiting_.size() && !may_continue(at)) at += take(at, text);
    waiting_.erase(0, at);
    return text;
  }

  // What is left at the end: nothing, or U+FFFD for each byte of a character cut short.
  std::string finish() {
    std::string text;
    for (size_t at = 0; at < waiting_.size();) at += take(at, text);
    waiting_.clear();
    return text;
  }

 private:
  // Whether all from `at` on is the start of a longer character.
  bool may_continue(size_t at) const {
    const auto lead = static_cast<unsigned char>(waiting_[at]);
    const size_t length = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    if (waiting_.size() - at >= length) return false;
    for (size_t i = at + 1; i < waiting_.size(); ++i) {
      if ((static_cast<unsigned char>(waiting_[i]) & 0xC0u) != 0x80u) return false;
    }
    return true;
  }

  size_t take(size_t at, std::string& text) const {
    const size_t length = utf8::character_length(waiting_, at);
    text += length ? std::string_view(waiting_).substr(at, length) : "\uFFFD";
    return std::max<size_t>(length, 1);
  }

  std::string waiting_;
};

}  // namespace tplab::cli
