#include "viz/drawing/palette.h"

#include <fmt/format.h>

namespace tplab {

std::string rank_tint(int rank) {
  std::string tint = "#";
  for (size_t i = 1; i < 7; i += 2) {
    const int part = std::stoi(std::string(rank_colour(rank).substr(i, 2)), nullptr, 16);
    tint += fmt::format("{:02x}", (3 * part + 7 * 255) / 10);
  }
  return tint;
}

}  // namespace tplab
