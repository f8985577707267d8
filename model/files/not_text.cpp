#include "model/files/not_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/files/file_kind.h"
#include "sim/text/utf8.h"

namespace tplab {
namespace {

constexpr size_t kLooked = 1 << 16;  // bytes that a guess is made from

NotText encoded_as(const std::string& encoding) {
  return {fmt::format("is {}, not UTF-8", encoding),
          fmt::format("convert it first: iconv -f {} -t UTF-8 FILE > NEW-FILE", encoding)};
}

// UTF-16 and UTF-32, by their mark, or by the small numbers that most alphabets' letters have in
// their upper bytes (00 of Latin's, 04 of Cyrillic's), where a text in UTF-8 has next to none.
std::optional<NotText> wide(std::string_view bytes) {
  using namespace std::string_view_literals;
  if (bytes.starts_with("\xFF\xFE\0\0"sv) || bytes.starts_with("\0\0\xFE\xFF"sv))
    return encoded_as("UTF-32");
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return encoded_as("UTF-16");
  const size_t groups = std::min(bytes.size(), kLooked) / 4;
  if (groups < 4) return std::nullopt;
  std::array<size_t, 4> small{};
  for (size_t at = 0; at < 4 * groups; ++at)
    small[at % 4] += static_cast<unsigned char>(bytes[at]) < '\t';
  std::array<bool, 4> is_small{}, is_not{};
  for (size_t i = 0; i < 4; ++i) {
    is_small[i] = small[i] * 10 > groups * 7;
    is_not[i] = small[i] * 10 < groups;
  }
  if (is_not[0] && is_small[1] && is_small[2] && is_small[3]) return encoded_as("UTF-32LE");
  if (is_small[0] && is_small[1] && is_small[2] && is_not[3]) return encoded_as("UTF-32BE");
  if (is_not[0] && is_small[1] && is_not[2] && is_small[3]) return encoded_as("UTF-16LE");
  if (is_small[0] && is_not[1] && is_small[2] && is_not[3]) return encoded_as("UTF-16BE");
  return std::nullopt;
}

// A file of another kind, by how it begins.
std::optional<NotText> other_kind(std::string_view bytes) {
  const auto kind = kind_of_file(bytes.substr(0, 512));
  if (!kind || kind->text_way.empty()) return std::nullopt;
  return NotText{fmt::format("is {}", kind->what), std::string(kind->text_way)};
}

// The whole characters of more than one byte, the bytes outside of any, those that a text has
// seldom, and of the former the ones that Latin 1 has no letters for.
struct Counts {
  size_t bytes = 0, characters = 0, strays = 0, controls = 0, high = 0, windows = 0;
};

Counts count(std::string_view part) {
  Counts n{.bytes = part.size()};
  for (size_t at = 0; at < part.size();) {
    const auto byte = static_cast<unsigned char>(part[at]);
    const size_t length = utf8::character_length(part, at);
    n.characters += length > 1;
    n.strays += length == 0;
    n.high += byte >= 0x80;
    n.windows += length == 0 && byte >= 0x80 && byte < 0xA0;
    n.controls += byte < 0x20 && (byte < '\t' || byte > '\r') && byte != 0x1B;
    at += std::max<size_t>(length, 1);
  }
  return n;
}

std::string guessed_fix(std::string_view bytes, size_t bad) {
  const size_t begin = bad - std::min(bad, kLooked / 2);
  const Counts n = count(bytes.substr(begin, kLooked));
  if (n.controls * 100 > n.bytes) return "this is no text at all: give the file you meant";
  if (bytes.size() - bad < 4 && n.strays <= 3 && n.characters > n.strays)
    return "it ends inside a character: it is cut short, copy it again";
  if (n.characters > 10 * n.strays)
    return "it is UTF-8 with some bytes that are not; iconv -f UTF-8 -t UTF-8 -c FILE > NEW-FILE "
           "leaves them out";
  if (n.high * 10 < n.bytes * 3)
    return fmt::format("convert it first, for example: iconv -f {} -t UTF-8 FILE > NEW-FILE",
                       n.windows ? "WINDOWS-1252" : "LATIN1");
  return "find out its encoding (file -i FILE guesses) and convert it first: iconv -f ENCODING -t "
         "UTF-8 FILE > NEW-FILE";
}

}  // namespace

std::optional<NotText> not_text(std::string_view bytes) {
  if (auto found = wide(bytes)) return found;
  const size_t bad = utf8::first_invalid(bytes);
  if (bad != std::string_view::npos || bytes.starts_with("%PDF-"))
    if (auto found = other_kind(bytes)) return found;
  if (bad == std::string_view::npos) return std::nullopt;
  return NotText{fmt::format("is not UTF-8: byte {} (0x{:02X}) begins no character", bad,
                             static_cast<unsigned char>(bytes[bad])),
                 guessed_fix(bytes, bad)};
}

}  // namespace tplab
