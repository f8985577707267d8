#include "model/tokenizers/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "sim/error.h"

namespace tplab {
namespace {

[[noreturn]] void fail_pcre2(const char* what, int error) {
  PCRE2_UCHAR message[256] = {};
  pcre2_get_error_message(error, message, sizeof message);
  fail_unavailable(std::string("PCRE2 cannot ") + what +
                       " a tokenizer's expression: " + reinterpret_cast<const char*>(message),
                   "install a PCRE2 of version 10.30 or later with Unicode support");
}

}  // namespace

Regex::Regex(const std::string& pattern) {
  int error = 0;
  size_t offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  if (code == nullptr) fail_pcre2("compile", error);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it, the same matches, more slowly
  code_ = {code, [](pcre2_code* p) { pcre2_code_free(p); }};
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view text, size_t from) const {
  struct Free {
    void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  };
  thread_local const std::unique_ptr<pcre2_match_data, Free> match(
      pcre2_match_data_create(1, nullptr));
  const int found = pcre2_match(static_cast<const pcre2_code*>(code_.get()),
                                reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                PCRE2_NO_UTF_CHECK, match.get(), nullptr);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) fail_pcre2("run", found);
  const size_t* ends = pcre2_get_ovector_pointer(match.get());
  return std::pair{ends[0], ends[1]};
}

}  // namespace tplab
