// The colours of all pictures: Okabe and Ito 2008, which people of every colour vision can tell
// apart. Colour is never the only sign: each box names its placement and its rank too.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace tplab {

// A rank's border. Ranks past the eighth begin again.
inline constexpr std::array<std::string_view, 8> kRankColours = {
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800", "#000000"};
inline std::string_view rank_colour(int rank) {
  return kRankColours[static_cast<size_t>(rank) % kRankColours.size()];
}

// The same mixed with white, to write on: three parts in ten.
std::string rank_tint(int rank);

// A tensor's fill, by the name of its placement (placement_name() in sim/placement.h): the
// palette's colours mixed with white, so that black letters are legible on them.
constexpr std::string_view placement_colour(std::string_view placement) {
  if (placement == "varying") return "#aadaf4";         // sky blue
  if (placement == "varying over T") return "#99c7e0";  // blue
  if (placement == "partial") return "#f5d08a";         // orange
  if (placement == "replicated") return "#f9f4ab";      // yellow
  if (placement == "invariant") return "#99d8c7";       // bluish green
  return "#eeeeee";
}

}  // namespace tplab
