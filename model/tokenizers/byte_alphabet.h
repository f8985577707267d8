// How tokenizer files spell the bytes of a token: each as one printable character.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tplab {

// A byte is written as the character of its number where that prints, and as U+0100 and up for the
// 68 that do not: a space is "\u0120", a newline "\u010A".
//   source: GPT-2's encoder.py, bytes_to_unicode
std::string spelling_of_byte(int byte);

// The bytes that `spelling` stands for; nullopt where it is not written in this alphabet.
std::optional<std::string> bytes_of(std::string_view spelling);

}  // namespace tplab
