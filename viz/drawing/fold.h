// Repeated blocks as one: what every tree and table of modules does to be short.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tplab {

// Items in a row that are called "block N" and alike become the first of them, as "blocks 0-11",
// and its `count` says how many they are.
//   Item: has `name` and `count` (1)   alike(first, item): but for their names
//   merge(first, item): is called for each that goes into the first
template <class Item, class Alike, class Merge>
std::vector<Item> fold_blocks(std::vector<Item> items, Alike alike, Merge merge) {
  constexpr std::string_view kBlock = "block ";
  std::vector<Item> folded;
  std::string first;  // the number of the block at the back; empty if that is none
  for (Item& item : items) {
    const std::string number = item.name.starts_with(kBlock) ? item.name.substr(kBlock.size()) : "";
    if (!first.empty() && !number.empty() && alike(folded.back(), item)) {
      folded.back().name = fmt::format("blocks {}-{}", first, number);
      ++folded.back().count;
      merge(folded.back(), item);
      continue;
    }
    first = number;
    folded.push_back(std::move(item));
  }
  return folded;
}

}  // namespace tplab
