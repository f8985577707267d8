// A picture of what a terminal shows, as SVG: for a README, without a screenshot.
#pragma once

#include <string>
#include <string_view>

namespace tplab {

// `text` is lines of UTF-8, with the codes that ink() writes for colour. Monospaced, dark, titled
// with the command; no script, byte-identical for identical text. Markup in the text is escaped.
std::string terminal_picture(std::string_view command, std::string_view text);

}  // namespace tplab
