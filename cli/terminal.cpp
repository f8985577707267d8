#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "cli/command.h"

namespace tplab::cli {

namespace {

constexpr int kColumns = 80;  // of text that no terminal shows
constexpr int kFewest = 40;

}  // namespace

int terminal_columns() {
  if (const char* text = std::getenv("COLUMNS")) {
    int columns = 0;
    const char* end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, columns);
    if (error == std::errc() && stop == end && columns > 0) return std::max(columns, kFewest);
  }
  for (const int output : {STDOUT_FILENO, STDERR_FILENO}) {
    winsize size = {};
    if (isatty(output) && ioctl(output, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
      return std::max<int>(size.ws_col, kFewest);
  }
  return kColumns;
}

bool takes_codes(int descriptor) {
  const char* kind = std::getenv("TERM");
  return isatty(descriptor) && !(kind && std::string_view(kind) == "dumb");
}

}  // namespace tplab::cli
