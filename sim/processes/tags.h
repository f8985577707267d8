// The tags of messages: what a message is for, and of which run and group. A run that failed may
// leave messages that nobody takes; no later run takes them for its own.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tplab {

// Outside of runs.
constexpr int kExitTag = 1, kOnceTag = 2, kTellTag = 3;

// From the first tag of a run.
constexpr int kEndTag = 0, kGatherTag = 1, kGroupTags = 4;
// From the first tag of a group.
enum class Channel { calls, point_to_point, words };
constexpr int kTagsOfGroup = 4, kTagsOfRun = 1024, kFirstRun = 16;
constexpr int kMostGroups = (kTagsOfRun - kGroupTags) / kTagsOfGroup;

// How many runs have tags of their own, where MPI has tags to `most`: at least 32767.
constexpr int tags_of_runs(int most) { return std::min((most - kFirstRun) / kTagsOfRun, 1 << 16); }
constexpr int first_tag_of_run(uint64_t run, int runs) {
  return kFirstRun + static_cast<int>(run % static_cast<uint64_t>(runs)) * kTagsOfRun;
}
constexpr int tag_of(int first_tag_of_run, int group, Channel channel) {
  return first_tag_of_run + kGroupTags + group * kTagsOfGroup + static_cast<int>(channel);
}

}  // namespace tplab
