#include "model/tokenizers/byte_alphabet.h"

#include <array>

#include "sim/text/utf8.h"

namespace tplab {
namespace {

bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
         (byte >= 0xAE && byte <= 0xFF);
}

struct Alphabet {
  std::array<int, 256> code_points{};  // by byte
  std::array<int, 256 + 68> bytes{};   // by code point; -1 where it stands for none
};

const Alphabet& alphabet() {
  static const Alphabet made = [] {
    Alphabet a;
    a.bytes.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const int code = stands_for_itself(byte) ? byte : next++;
      a.code_points[static_cast<size_t>(byte)] = code;
      a.bytes[static_cast<size_t>(code)] = byte;
    }
    return a;
  }();
  return made;
}

}  // namespace

std::string spelling_of_byte(int byte) {
  const int code = alphabet().code_points[static_cast<size_t>(byte)];
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

std::optional<std::string> bytes_of(std::string_view spelling) {
  std::string bytes;
  for (size_t at = 0; at < spelling.size();) {
    const size_t length = utf8::character_length(spelling, at);
    if (length == 0) return std::nullopt;
    const char32_t code = utf8::code_point(spelling.substr(at, length));
    if (code >= alphabet().bytes.size() || alphabet().bytes[code] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet().bytes[code]);
    at += length;
  }
  return bytes;
}

}  // namespace tplab
