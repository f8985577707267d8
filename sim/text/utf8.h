// UTF-8, one character at a time, with every ill-formed sequence refused, and text from outside as
// a terminal may show it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tplab::utf8 {

// The length in bytes, 1 to 4, of the well-formed character that begins at text[at]; 0 if there is
// none: a stray or missing continuation byte, an overlong form, a surrogate, beyond U+10FFFF.
// REQUIRES: at < text.size().
size_t character_length(std::string_view text, size_t at);

// The offset of the first byte that is not part of a well-formed character, or npos.
size_t first_invalid(std::string_view text);

// 3 where the text begins with U+FEFF, which some editors put there as a mark of UTF-8; else 0.
size_t mark_length(std::string_view text);

// U+00E9 as a number. REQUIRES: `character` is one well-formed character.
char32_t code_point(std::string_view character);

// Unicode's White_Space, which Python, Rust and Oniguruma mean by \s.
bool is_white_space(char32_t code);

// A character for people: 'a', '\n', 'é' (U+00E9). REQUIRES: as above.
std::string quoted(std::string_view character);

}  // namespace tplab::utf8

namespace tplab {

// What a terminal would obey or hide is spelled out: control characters, and bytes that are no
// UTF-8, as \x1b; characters that are not seen, or turn the direction of a line, as \u202e.
// Newlines and ordinary UTF-8 stay.
std::string printable(std::string_view text);
std::string printable_line(std::string_view text);  // newlines are spelled out too: \x0a
// The same of texts in any script, whose spelling may be of what is not seen: control characters
// alone are spelled out, but for newlines and tabs.
std::string harmless(std::string_view text);

}  // namespace tplab
