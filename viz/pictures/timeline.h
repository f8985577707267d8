// The timeline of a run: a track a rank, with what it did when, from measured times.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "viz/drawing/picture.h"
#include "viz/recording/run_recording.h"

namespace tplab {

// Waiting is for the last rank of a collective, until this one knows that it came; moving, what
// follows until the rank may go on; computing is everything else.
enum class Doing { computing, waiting, moving };

struct Stretch : Interval {
  Doing doing = Doing::computing;
  std::string what;  // of waiting and moving: the collective, for people
};

struct Track : Interval {
  std::string name;  // "rank 3"
  int tp_index = 0;
  std::vector<PhaseSpan> phases;
  std::vector<Stretch> stretches;  // without gaps, from start to end
  int64_t total_ns(Doing doing) const;
};

struct Timeline {
  std::string title;  // may have several lines
  int64_t end_ns = 0;
  std::vector<Track> tracks;
};

Timeline timeline(const RunRecording& run);

// Bars to one scale, each column showing what took most of it, with phases above them (rank 0's),
// each rank's percentages of its own time, the scale and a legend.
std::string timeline_text(const Timeline& timeline, const TextStyle& style);

// The same as boxes to scale (see viz/drawing/graph.h), with a tooltip for each collective.
// Stretches too short to be seen are left out.
Graph timeline_graph(const Timeline& timeline);

// The same numbers: {"title", "end_ns", "ranks": [{"name", "computing_ns", "waiting_ns",
// "moving_ns", "stretches": [{"doing", "what", "start_ns", "end_ns"}]}]}.
nlohmann::ordered_json timeline_json(const Timeline& timeline);

// 850 ns, 12.3 us, 4.56 ms, 1.20 s: three digits.
std::string human_time(int64_t ns);

}  // namespace tplab
