#include "viz/pictures/timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab {

int64_t Track::total_ns(Doing doing) const {
  int64_t total = 0;
  for (const Stretch& s : stretches)
    if (s.doing == doing) total += s.length_ns();
  return total;
}

std::string human_time(int64_t ns) {
  constexpr std::array<const char*, 4> kUnits = {"ns", "us", "ms", "s"};
  auto value = static_cast<double>(ns);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return fmt::format("{} ns", ns);
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

Timeline timeline(const RunRecording& run) {
  Timeline result{run.model + "\n" + run.what, run.end_ns(), {}};
  for (size_t r = 0; r < run.ranks.size(); ++r) {
    const RankRecording& rank = run.ranks[r];
    Track track{
        {rank.start_ns, rank.end_ns}, fmt::format("rank {}", r), rank.tp_index, rank.phases, {}};
    int64_t now = rank.start_ns;
    const auto until = [&](int64_t end_ns, Doing doing, const std::string& what) {
      if (end_ns > now) track.stretches.push_back({{now, end_ns}, doing, what});
      now = std::max(now, end_ns);
    };
    for (const CollectiveSpan& c : rank.collectives) {
      until(c.start_ns, Doing::computing, "");
      std::string what = fmt::format("{} over {} at {} ({})", name(c.event.op), name(c.event.axis),
                                     c.site, name(c.event.phase));
      until(c.agreed_ns, Doing::waiting, fmt::format("{}, for rank {}", what, c.last_rank));
      what += fmt::format(", sends {}", bytes_text(c.event.wire_bytes));
      until(c.end_ns, Doing::moving, what);
    }
    until(rank.end_ns, Doing::computing, "");
    result.tracks.push_back(std::move(track));
  }
  return result;
}

namespace {

struct Look {
  const char *unicode, *ascii;
  Ink ink;
  const char* name;
};
constexpr std::array<Look, 3> kLooks = {{{"█", "#", Ink::good, "computing"},
                                         {"·", ".", Ink::dim, "waiting"},
                                         {"▒", "=", Ink::bold, "moving data"}}};
const Look& look(Doing doing) { return kLooks[static_cast<size_t>(doing)]; }

// How columns of text stand for time.
struct Scale {
  int columns;
  int64_t end_ns;
  // The time at the left of a column.
  int64_t at(int column) const { return end_ns * column / columns; }
  int column(int64_t ns) const { return static_cast<int>(ns * columns / end_ns); }
};

// For each column what took most of it, the first of equals; nothing (-1) outside of the track.
std::vector<int> most_of_each(const Track& track, const Scale& scale) {
  std::vector<int> most;
  size_t first = 0;  // stretch that may reach into the column
  for (int c = 0; c < scale.columns; ++c) {
    const int64_t begin = scale.at(c), end = scale.at(c + 1);
    std::array<int64_t, 3> took = {};
    while (first < track.stretches.size() && track.stretches[first].end_ns <= begin) ++first;
    for (size_t i = first; i < track.stretches.size(); ++i) {
      const Stretch& s = track.stretches[i];
      if (s.start_ns >= end) break;
      took[static_cast<size_t>(s.doing)] += std::min(end, s.end_ns) - std::max(begin, s.start_ns);
    }
    const auto largest = std::max_element(took.begin(), took.end());
    most.push_back(*largest > 0 ? static_cast<int>(largest - took.begin()) : -1);
  }
  return most;
}

std::string bar(const Track& track, const Scale& scale, const TextStyle& style) {
  const std::vector<int> most = most_of_each(track, scale);
  std::string text;
  for (size_t c = 0, next = 0; c < most.size(); c = next) {
    std::string run;
    for (; next < most.size() && most[next] == most[c]; ++next)
      run += most[c] < 0     ? " "
             : style.unicode ? kLooks[static_cast<size_t>(most[c])].unicode
                             : kLooks[static_cast<size_t>(most[c])].ascii;
    text += most[c] < 0 ? run : ink(run, kLooks[static_cast<size_t>(most[c])].ink, style.colour);
  }
  return text;
}

// "|forward      |backward        |opt"
std::string phase_line(const Track& track, const Scale& scale) {
  std::string line(static_cast<size_t>(scale.columns), ' ');
  for (const PhaseSpan& span : track.phases) {
    const auto begin =
        static_cast<size_t>(std::min(scale.column(span.start_ns), scale.columns - 1));
    const auto end = static_cast<size_t>(std::min(scale.column(span.end_ns), scale.columns));
    const std::string text = fmt::format("|{}", name(span.phase));
    for (size_t i = 0; i < text.size() && begin + i < std::max(end, begin + 1); ++i)
      line[begin + i] = text[i];
  }
  return line;
}

// "0            0.5 ms            1.00 ms"
std::string scale_line(const Scale& scale) {
  const std::string middle = human_time(scale.end_ns / 2), end = human_time(scale.end_ns);
  std::string line(static_cast<size_t>(scale.columns), ' ');
  const auto put = [&](size_t at, const std::string& text) { line.replace(at, text.size(), text); };
  put(0, "0");
  const auto columns = static_cast<size_t>(scale.columns);
  put(columns / 2 - middle.size() / 2, middle);
  put(columns - end.size(), end);
  return line;
}

std::string percent(int64_t part, int64_t whole) {
  return fmt::format("{:.1f} %", 100 * static_cast<double>(part) /
                                     static_cast<double>(std::max<int64_t>(whole, 1)));
}

}  // namespace

std::string timeline_text(const Timeline& timeline, const TextStyle& style) {
  constexpr std::array kAll = {Doing::computing, Doing::waiting, Doing::moving};
  constexpr int kPercents = 3 * 8;  // " 100.0 %"
  size_t widest = 0;
  for (const Track& track : timeline.tracks) widest = std::max(widest, track.name.size());
  const int columns = std::max(20, style.columns - static_cast<int>(widest) - 1 - kPercents);
  const Scale scale{columns, std::max<int64_t>(timeline.end_ns, 1)};
  const std::string margin(widest + 1, ' ');

  std::string text = title_lines(timeline.title, style);
  if (!timeline.tracks.empty())
    text += ink(fmt::format("{}{} {:>7} {:>7} {:>7}", margin, phase_line(timeline.tracks[0], scale),
                            "compute", "wait", "move"),
                Ink::dim, style.colour) +
            "\n";
  for (const Track& track : timeline.tracks) {
    text += fmt::format("{:<{}}{}", track.name, widest + 1, bar(track, scale, style));
    for (Doing doing : kAll)
      text += fmt::format(" {:>7}", percent(track.total_ns(doing), track.length_ns()));
    text += "\n";
  }
  text += ink(margin + scale_line(scale), Ink::dim, style.colour) + "\n";
  std::string legend;
  for (Doing doing : kAll)
    legend += fmt::format(
        "{}{} {}", legend.empty() ? "" : "   ",
        ink(style.unicode ? look(doing).unicode : look(doing).ascii, look(doing).ink, style.colour),
        look(doing).name);
  return text + fmt::format("{}{}\n{}one column is {}; it shows what took most of it\n", margin,
                            legend, margin, human_time(scale.end_ns / scale.columns));
}

nlohmann::ordered_json timeline_json(const Timeline& timeline) {
  constexpr std::array kNames = {"computing", "waiting", "moving"};
  using Json = nlohmann::ordered_json;
  Json doc = {{"schema", 1},
              {"kind", "timeline"},
              {"title", timeline.title},
              {"end_ns", timeline.end_ns},
              {"ranks", Json::array()}};
  for (const Track& track : timeline.tracks) {
    Json rank = {{"name", track.name},
                 {"computing_ns", track.total_ns(Doing::computing)},
                 {"waiting_ns", track.total_ns(Doing::waiting)},
                 {"moving_ns", track.total_ns(Doing::moving)},
                 {"stretches", Json::array()}};
    for (const Stretch& s : track.stretches)
      rank["stretches"].push_back({{"doing", kNames[static_cast<size_t>(s.doing)]},
                                   {"what", s.what},
                                   {"start_ns", s.start_ns},
                                   {"end_ns", s.end_ns}});
    doc["ranks"].push_back(std::move(rank));
  }
  return doc;
}

}  // namespace tplab
