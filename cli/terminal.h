// What the terminal can show: how wide it is, and whether it obeys more than text.
#pragma once

#include <string>

namespace tplab::cli {

// How many columns text may take, at least 40: what COLUMNS says, else the terminal that stdout or
// stderr is, else 80.
int terminal_columns();

// Whether a person reads there. Not what a launcher of processes gives them: it makes a terminal of
// its own for what it only passes on.
bool is_terminal(int descriptor);

// Whether a terminal is there that takes codes for colour and the cursor: not where TERM is "dumb".
bool takes_codes(int descriptor);

// A bar that is done from 0 to 1, in place of the line that was there. It never fills the
// terminal's line; a `what` that is too long is cut.
std::string progress_line(const std::string& what, double done, int columns);

}  // namespace tplab::cli
