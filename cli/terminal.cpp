#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "sim/machine/processes.h"
#include "viz/drawing/picture.h"
#include "viz/drawing/table.h"

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
    if (is_terminal(output) && ioctl(output, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
      return std::max<int>(size.ws_col, kFewest);
  }
  return kColumns;
}

bool is_terminal(int descriptor) { return isatty(descriptor) && !processes(); }

bool takes_codes(int descriptor) {
  const char* kind = std::getenv("TERM");
  return is_terminal(descriptor) && !(kind && std::string_view(kind) == "dumb");
}

std::string progress_line(const std::string& what, double done, int columns) {
  const int width = columns < 100 ? 10 : 30;
  const int filled = static_cast<int>(std::clamp(done, 0.0, 1.0) * width);
  const std::string bar =
      fmt::format("[{:#<{}}{:.<{}}] {:3.0f} %  ", "", filled, "", width - filled, 100 * done);
  // Three columns stay free, for the ^C that a terminal writes, and since some begin a new line
  // once the last is filled.
  const int room = columns - 3 - static_cast<int>(display_width(bar));
  return "\r\x1b[K" + bar + one_line(what, {.columns = room});
}

}  // namespace tplab::cli
