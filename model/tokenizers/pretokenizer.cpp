// PCRE2 compiles GPT-2's expression once; matching walks the text from word to word.
#include "model/tokenizers/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cassert>
#include <string>

#include "sim/error.h"

namespace tplab {

namespace {

// \s is spelled out, as Unicode's White_Space, which is what Python's `regex` means by it: PCRE2's
// own \s has one character more, U+180E. A possessive "++" never gives back what it has taken, and
// here it never could use it: the classes that follow each other are disjoint.
constexpr const char* kPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d)"
    R"(| ?\p{L}++| ?\p{N}++| ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]++)"
    R"(|[\t-\r\x{85}\p{Z}]+(?![^\t-\r\x{85}\p{Z}])|[\t-\r\x{85}\p{Z}]+)";

const pcre2_code* as_code(const void* pattern) { return static_cast<const pcre2_code*>(pattern); }

[[noreturn]] void fail_pcre2(const char* what, int error) {
  PCRE2_UCHAR message[256] = {};
  pcre2_get_error_message(error, message, sizeof message);
  fail_unavailable(std::string("PCRE2 cannot ") + what +
                       " GPT-2's pre-tokenizer: " + reinterpret_cast<const char*>(message),
                   "install a PCRE2 of version 10.30 or later with Unicode support");
}

}  // namespace

Pretokenizer::Pretokenizer() {
  int error = 0;
  size_t offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
                    PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &error, &offset, nullptr);
  if (code == nullptr) fail_pcre2("compile", error);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, the same matches, more slowly
  pattern_ = {code, [](pcre2_code* p) { pcre2_code_free(p); }};
}

void Pretokenizer::for_each_word(std::string_view text,
                                 const std::function<void(std::string_view word)>& take) const {
  const auto free_match = [](pcre2_match_data* p) { pcre2_match_data_free(p); };
  const std::unique_ptr<pcre2_match_data, decltype(free_match)> match(
      pcre2_match_data_create(1, nullptr), free_match);
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  for (size_t at = 0; at < text.size();) {
    const int found = pcre2_match(as_code(pattern_.get()), subject, text.size(), at,
                                  PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (found < 0) fail_pcre2("run", found);
    const size_t end = pcre2_get_ovector_pointer(match.get())[1];
    assert(end > at);
    take(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace tplab
