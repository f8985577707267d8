#include "viz/recording/trace_events.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/files/json.h"
#include "sim/machine/world.h"

namespace tplab {

namespace {

using Json = nlohmann::ordered_json;

// Of one moment, slices come first, outer before inner: an arrow is bound to the slice open then.
enum class Kind { slice, arrow, counter };

struct Line {
  int64_t at_ns;
  Kind kind;
  int depth;
  Json event;
};

// The same module's two passes are of different names, so that a query tells them apart.
std::string name_of(const ScopeSpan& span) {
  return span.phase == Phase::backward ? span.site + " backward" : span.site;
}

double microseconds(int64_t ns) { return static_cast<double>(ns) / 1000; }

class Writer {
 public:
  explicit Writer(const RunRecording& run) : run_(run) {
    for (size_t r = 0; r < run.ranks.size(); ++r) {
      write_names(static_cast<int>(r));
      write_slices(static_cast<int>(r));
      write_counters(static_cast<int>(r));
    }
    std::stable_sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
      return std::tie(a.at_ns, a.kind, a.depth) < std::tie(b.at_ns, b.kind, b.depth);
    });
  }

  std::string text() const {
    const Json facts = {
        {"model", run_.model}, {"run", run_.what}, {"tp", run_.tp}, {"dp", run_.dp}};
    std::string out = fmt::format(
        "{{\"displayTimeUnit\":\"ms\",\n\"otherData\":{},\n\"traceEvents\":[\n", json_text(facts));
    for (const Json& name : names_) out += json_text(name) + ",\n";
    for (size_t i = 0; i < lines_.size(); ++i)
      out += json_text(lines_[i].event) + (i + 1 < lines_.size() ? ",\n" : "\n");
    return out + "]}\n";
  }

 private:
  // Numbers from 1 that no process shares with a thread: readers take a thread with its process's
  // number for its main thread, and 0 for the idle one.
  static int thread_id(int rank) { return rank + 1; }
  int process_id(int rank) const {
    return kMaxRanks + 1 + run_.ranks[static_cast<size_t>(rank)].dp_index;
  }

  Json event(const char* phase, int rank, std::string name, const char* category) const {
    return {{"ph", phase},
            {"pid", process_id(rank)},
            {"tid", thread_id(rank)},
            {"cat", category},
            {"name", std::move(name)}};
  }

  void write_names(int rank) {
    const RankRecording& recording = run_.ranks[static_cast<size_t>(rank)];
    const auto add = [&](const char* what, Json args) {
      names_.push_back({{"ph", "M"},
                        {"pid", process_id(rank)},
                        {"tid", thread_id(rank)},
                        {"name", what},
                        {"args", std::move(args)}});
    };
    if (recording.tp_index == 0) {
      add("process_name", {{"name", fmt::format("replica {}", recording.dp_index)}});
      add("process_sort_index", {{"sort_index", recording.dp_index}});
    }
    add("thread_name", {{"name", fmt::format("rank {} (tp {}, dp {})", rank, recording.tp_index,
                                             recording.dp_index)}});
    add("thread_sort_index", {{"sort_index", rank}});
  }

  void slice(int rank, const Interval& when, int depth, std::string name, const char* category,
             Json args) {
    Json json = event("X", rank, std::move(name), category);
    json["ts"] = microseconds(when.start_ns);
    json["dur"] = microseconds(when.length_ns());
    json["args"] = std::move(args);
    lines_.push_back({when.start_ns, Kind::slice, depth, std::move(json)});
  }

  void write_slices(int rank) {
    const RankRecording& recording = run_.ranks[static_cast<size_t>(rank)];
    for (const PhaseSpan& span : recording.phases)
      slice(rank, span, 0, std::string(name(span.phase)), "phase", Json::object());
    for (const ScopeSpan& span : recording.scopes)
      slice(rank, span, 1 + span.depth, name_of(span), "module",
            {{"site", span.site}, {"phase", name(span.phase)}});
    for (const OperationSpan& span : recording.operations)
      slice(rank, span, 1 + span.depth, std::string(span.operation), "operation", Json::object());
    for (const CollectiveSpan& span : recording.collectives) {
      const Event& e = span.event;
      slice(rank, span, 1 + span.depth, std::string(name(e.op)), "collective",
            {{"site", span.site},
             {"op", name(e.op)},
             {"algorithm", name(e.algorithm)},
             {"dtype", name(e.dtype)},
             {"elements", e.elements},
             {"payload_bytes", e.payload_bytes},
             {"wire_bytes", e.wire_bytes},
             {"phase", name(e.phase)},
             {"axis", name(e.axis)},
             {"call", span.sequence}});
      const Interval waiting{span.start_ns, span.agreed_ns}, moving{span.agreed_ns, span.end_ns};
      const Json last = {{"last_rank", span.last_rank}};
      if (waiting.length_ns() > 0) slice(rank, waiting, 2 + span.depth, "waiting", "waiting", last);
      slice(rank, moving, 2 + span.depth, "moving", "moving", Json::object());
      write_arrow(rank, span);
    }
  }

  // From the rank that came last, at the moment it came, to this one.
  void write_arrow(int rank, const CollectiveSpan& span) {
    if (span.last_rank == rank) return;
    const int64_t id = ++arrows_;
    const auto end = [&](const char* phase, int at_rank) {
      Json json = event(phase, at_rank, std::string(name(span.event.op)), "arrival");
      json["id"] = id;
      json["ts"] = microseconds(span.arrived_ns);
      if (phase[0] == 'f') json["bp"] = "e";  // bound to the slice around it, not to the next
      lines_.push_back({span.arrived_ns, Kind::arrow, phase[0] == 'f', std::move(json)});
    };
    end("s", span.last_rank);
    end("f", rank);
  }

  void write_counters(int rank) {
    const RankRecording& recording = run_.ranks[static_cast<size_t>(rank)];
    int64_t sent = 0;
    const auto add = [&](int64_t at_ns) {
      Json json = event("C", rank, fmt::format("sent by rank {}", rank), "bytes");
      json["ts"] = microseconds(at_ns);
      json["args"] = {{"bytes", sent}};
      lines_.push_back({at_ns, Kind::counter, 0, std::move(json)});
    };
    add(recording.start_ns);
    for (const CollectiveSpan& span : recording.collectives) {
      sent += span.event.wire_bytes;
      add(span.end_ns);
    }
  }

  const RunRecording& run_;
  int64_t arrows_ = 0;
  std::vector<Json> names_;
  std::vector<Line> lines_;
};

}  // namespace

std::string trace_text(const RunRecording& run) { return Writer(run).text(); }

}  // namespace tplab
