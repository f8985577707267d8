// Reads a trace as its readers do, and finds what is wrong with it. Shares nothing with the writer.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tplab::testing {

// What the trace says that a thread sent, in the arguments of its collectives.
struct TraceTotals {
  int64_t calls = 0, elements = 0, payload_bytes = 0, wire_bytes = 0;
};

class TraceCheck {
 public:
  explicit TraceCheck(const std::string& text) {
    const auto trace = nlohmann::json::parse(text, nullptr, false);
    if (trace.is_discarded() || !trace.is_object() || !trace.contains("traceEvents")) {
      fault("no JSON object with traceEvents");
      return;
    }
    for (const auto& e : trace["traceEvents"]) read(e);
    for (auto& [thread, slices] : slices_) check_nesting(thread, slices);
    check_collectives();
    check_operations();
    check_passes();
    check_flows();
    check_counters();
    check_names();
  }

  const std::vector<std::string>& faults() const { return faults_; }
  bool found(const std::string& words) const {
    return std::any_of(faults_.begin(), faults_.end(),
                       [&](const std::string& f) { return f.find(words) != std::string::npos; });
  }
  // By thread, in the order of their numbers.
  std::vector<TraceTotals> totals() const {
    std::vector<TraceTotals> all;
    for (const auto& [thread, slices] : slices_) {
      TraceTotals& t = all.emplace_back();
      for (const Slice& s : slices) {
        if (s.category != "collective") continue;
        ++t.calls;
        t.elements += s.args["elements"].get<int64_t>();
        t.payload_bytes += s.args["payload_bytes"].get<int64_t>();
        t.wire_bytes += s.args["wire_bytes"].get<int64_t>();
      }
    }
    return all;
  }
  std::vector<std::string> slice_names(int64_t thread) const {
    std::vector<std::string> names;
    for (const Slice& s : slices_.at(thread)) names.push_back(s.category + " " + s.name);
    return names;
  }
  size_t flows() const { return flows_.size(); }
  std::string thread_name(int64_t thread) const { return thread_names_.at(thread); }

 private:
  struct Slice {
    int64_t begin_ns, end_ns;
    std::string category, name;
    nlohmann::json args;
    int parent = -1;  // among the thread's slices
    int flows_in = 0, flows_out = 0;
  };
  struct End {
    char phase;
    int64_t at_ns, thread;
    std::string category, name, bind;
  };

  void fault(std::string what) { faults_.push_back(std::move(what)); }

  static int64_t nanoseconds(const nlohmann::json& microseconds) {
    return std::llround(microseconds.get<double>() * 1000);
  }

  void read(const nlohmann::json& e) {
    for (const char* key : {"ph", "pid", "tid", "name"})
      if (!e.contains(key)) return fault(fmt::format("an event without {}: {}", key, e.dump()));
    const std::string phase = e["ph"], name = e["name"];
    const int64_t thread = e["tid"], process = e["pid"];
    if (phase == "M") {
      if (name == "thread_name") thread_names_[thread] = e["args"]["name"];
      if (name == "process_name") process_names_[process] = e["args"]["name"];
      return;
    }
    if (processes_.try_emplace(thread, process).first->second != process)
      fault(fmt::format("thread {} is of two processes", thread));
    if (!e.contains("ts") || !(e["ts"].get<double>() >= 0)) return fault("an event without a time");
    const int64_t at = nanoseconds(e["ts"]);
    if (at < last_ns_) fault(fmt::format("not in the order of time at {} ns", at));
    last_ns_ = at;
    if (phase == "X") {
      if (!(e["dur"].get<double>() >= 0)) return fault("a slice without a length");
      // Both are exact in nanoseconds, so that their sum is.
      slices_[thread].push_back(
          {at, at + nanoseconds(e["dur"]), e["cat"], name, e.value("args", nlohmann::json{})});
    } else if (phase == "s" || phase == "f") {
      flows_[e["id"].get<int64_t>()].push_back(
          {phase[0], at, thread, e["cat"], name, e.value("bp", "")});
    } else if (phase == "C") {
      const int64_t value = e["args"]["bytes"];
      auto& counted = counters_[{thread, name}];
      if (!counted.empty() && value < counted.back()) fault(name + " counts backwards");
      counted.push_back(value);
    } else {
      fault("an event of a kind that is not looked at: " + phase);
    }
  }

  // A slice lies in the one that is open, or begins when that has ended. Those of one moment come
  // outer first.
  void check_nesting(int64_t thread, std::vector<Slice>& slices) {
    std::vector<int> open;
    for (size_t i = 0; i < slices.size(); ++i) {
      Slice& s = slices[i];
      const auto top = [&]() -> const Slice& { return slices[static_cast<size_t>(open.back())]; };
      while (!open.empty() && top().end_ns <= s.begin_ns && s.end_ns > top().end_ns)
        open.pop_back();
      if (!open.empty() && s.end_ns > top().end_ns)
        fault(fmt::format("thread {}: {} overlaps {}", thread, s.name, top().name));
      if (!open.empty()) s.parent = open.back();
      if ((s.parent < 0) != (s.category == "phase"))
        fault(fmt::format("thread {}: {} is outside of the phases, or a phase inside", thread,
                          s.name));
      open.push_back(static_cast<int>(i));
    }
  }

  // Each is waiting and then moving, without a gap.
  void check_collectives() {
    for (auto& [thread, slices] : slices_) {
      for (size_t i = 0; i < slices.size(); ++i) {
        if (slices[i].category != "collective") continue;
        int64_t now = slices[i].begin_ns;
        std::string parts;
        for (const Slice& part : slices) {
          if (part.parent != static_cast<int>(i)) continue;
          parts += (parts.empty() ? "" : ", ") + part.name;
          if (part.begin_ns != now) fault("a gap in " + slices[i].name);
          now = part.end_ns;
        }
        if (now != slices[i].end_ns || (parts != "moving" && parts != "waiting, moving"))
          fault(fmt::format("{} is not waiting and moving, but {}", slices[i].name, parts));
      }
    }
  }

  // Nothing happens inside one, and it stands in no collective.
  void check_operations() {
    for (auto& [thread, slices] : slices_)
      for (const Slice& s : slices) {
        const std::string around =
            s.parent < 0 ? "" : slices[static_cast<size_t>(s.parent)].category;
        if (around == "operation") fault(fmt::format("{} is inside an operation", s.name));
        if (s.category == "operation" && around != "module" && around != "phase")
          fault(fmt::format("the operation {} is in no module and no phase", s.name));
      }
  }

  // A module's two passes are told apart by their names.
  void check_passes() {
    for (auto& [thread, slices] : slices_)
      for (const Slice& s : slices) {
        if (s.category != "module") continue;
        const bool backward = s.name.size() > 9 && s.name.substr(s.name.size() - 9) == " backward";
        if (backward != (s.args["phase"] == "backward"))
          fault(fmt::format("{} is named as of another pass", s.name));
      }
  }

  // The collective of a thread at a moment: the last that had begun, at a boundary of two.
  Slice* collective_at(int64_t thread, int64_t at_ns) {
    Slice* found = nullptr;
    for (Slice& s : slices_[thread])
      if (s.category == "collective" && s.begin_ns <= at_ns && at_ns <= s.end_ns) found = &s;
    return found;
  }

  void check_flow(int64_t id, const std::vector<End>& ends) {
    if (ends.size() != 2 || ends[0].phase != 's' || ends[1].phase != 'f')
      return fault(fmt::format("flow {} is no pair of s and f", id));
    const End &from = ends[0], &to = ends[1];
    if (from.category != to.category || from.name != to.name || from.thread == to.thread ||
        !(from.at_ns <= to.at_ns) || to.bind != "e")
      return fault(fmt::format("flow {}'s ends do not belong together", id));
    Slice *out = collective_at(from.thread, from.at_ns), *in = collective_at(to.thread, to.at_ns);
    if (!out || !in) return fault(fmt::format("flow {} ends at no collective", id));
    for (const char* key : {"site", "op", "axis", "call", "elements", "phase"})
      if (out->args[key] != in->args[key])
        fault(fmt::format("flow {} joins two collectives: {} differs", id, key));
    ++out->flows_out;
    ++in->flows_in;
  }

  // Whoever was not the last of a collective to come is released by whoever was.
  void check_flows() {
    for (const auto& [id, ends] : flows_) check_flow(id, ends);
    for (const auto& [thread, slices] : slices_)
      for (const Slice& s : slices)
        if (s.category == "collective" && (s.flows_in > 0 ? 1 : 0) + (s.flows_out > 0 ? 1 : 0) != 1)
          fault(fmt::format("thread {}: {} has {} flows in and {} out", thread, s.name, s.flows_in,
                            s.flows_out));
  }

  void check_counters() {
    size_t thread = 0;
    const auto sent = totals();
    for (const auto& [key, values] : counters_) {
      if (thread >= sent.size() || values.front() != 0 || values.back() != sent[thread].wire_bytes)
        fault(
            fmt::format("{} ends at {}, not at its collectives' bytes", key.second, values.back()));
      ++thread;
    }
    if (thread != slices_.size()) fault("not a counter for each thread");
  }

  void check_names() {
    for (const auto& [thread, process] : processes_)
      if (thread_names_.count(thread) == 0 || process_names_.count(process) == 0)
        fault(fmt::format("thread {} or its process has no name", thread));
  }

  std::vector<std::string> faults_;
  int64_t last_ns_ = 0;
  std::map<int64_t, std::vector<Slice>> slices_;  // by thread
  std::map<int64_t, std::vector<End>> flows_;     // by id
  std::map<std::pair<int64_t, std::string>, std::vector<int64_t>> counters_;
  std::map<int64_t, int64_t> processes_;  // of a thread
  std::map<int64_t, std::string> thread_names_, process_names_;
};

}  // namespace tplab::testing
