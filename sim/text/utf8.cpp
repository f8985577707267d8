// The table of well-formed sequences of the Unicode standard (table 3-7), as code.
#include "sim/text/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace tplab::utf8 {

namespace {

bool is_control(char32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

uint8_t byte_at(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

bool is_within(std::string_view text, size_t at, uint8_t low, uint8_t high) {
  return at < text.size() && byte_at(text, at) >= low && byte_at(text, at) <= high;
}

}  // namespace

size_t character_length(std::string_view text, size_t at) {
  const uint8_t lead = byte_at(text, at);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4)
    return 0;  // a continuation byte, or a lead that is always overlong
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

  // The second byte's range is narrower where overlong forms, surrogates or > U+10FFFF would be.
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (!is_within(text, at + 1, low, high)) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (!is_within(text, at + i, 0x80, 0xBF)) return 0;
  }
  return length;
}

size_t first_invalid(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = character_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

size_t mark_length(std::string_view text) { return text.starts_with("\xEF\xBB\xBF") ? 3 : 0; }

char32_t code_point(std::string_view character) {
  const size_t length = character.size();
  if (length == 1) return byte_at(character, 0);
  char32_t code = byte_at(character, 0) & (0xFFu >> (length + 1));  // the lead byte's payload bits
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte_at(character, i) & 0x3Fu);
  return code;
}

bool is_white_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

std::string quoted(std::string_view character) {
  const char32_t code = code_point(character);
  if (code == '\n') return "'\\n'";
  if (code == '\t') return "'\\t'";
  if (code == '\r') return "'\\r'";
  if (is_control(code)) return fmt::format("U+{:04X}", static_cast<uint32_t>(code));
  if (code < 0x7F) return fmt::format("'{}'", character);
  return fmt::format("'{}' (U+{:04X})", character, static_cast<uint32_t>(code));
}

}  // namespace tplab::utf8

namespace tplab {

namespace {

struct Span {
  char32_t first, last;
};

// Characters that a line does not show as they stand in it: controls, and of Unicode's format
// characters (general category Cf) and separators (Zl, Zp) those that are no part of any spelling.
constexpr Span kHidden[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},      {0x061C, 0x061C},
                            {0x180E, 0x180E}, {0x200B, 0x200F}, {0x2028, 0x202E},  {0x2060, 0x206F},
                            {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE007F}};

bool is_hidden(char32_t code) {
  for (const Span& span : kHidden)
    if (code >= span.first && code <= span.last) return true;
  return false;
}

// `kept` stays although `is_spelled_out` says otherwise.
template <class IsSpelledOut>
std::string spelled_out(std::string_view text, std::string_view kept, IsSpelledOut is_spelled_out) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const size_t length = std::max<size_t>(utf8::character_length(text, at), 1);
    const std::string_view character = text.substr(at, length);
    const auto byte = static_cast<unsigned char>(character[0]);
    at += length;
    const bool is_byte = length == 1 && byte >= 0x80;  // of no character
    const char32_t code = is_byte ? 0 : utf8::code_point(character);
    if (!is_spelled_out(code) || kept.find(character) != std::string_view::npos) {
      shown += character;
    } else if (code < 0x80) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
    }
  }
  return shown;
}

}  // namespace

std::string printable(std::string_view text) { return spelled_out(text, "\n", is_hidden); }
std::string printable_line(std::string_view text) { return spelled_out(text, "", is_hidden); }
std::string harmless(std::string_view text) { return spelled_out(text, "\n\t", utf8::is_control); }

}  // namespace tplab
