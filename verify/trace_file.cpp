#include "verify/trace_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <type_traits>
#include <utility>

#include "model/files/json.h"
#include "model/files/locked_file.h"
#include "sim/error.h"

namespace tplab {

namespace {

constexpr std::string_view kTraceSchema = "tplab/run-trace/1";

std::string hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

// The lines of a file one after another, and what is wrong in them.
class TraceReader {
 public:
  explicit TraceReader(const ByteSource& file)
      : path_(file.name()), text_(read_all(file, kMostBytes)) {}

  RunTrace read() {
    RunTrace trace{.of = header(), .runs = {}};
    for (;;) {
      const std::string_view line = next();
      const nlohmann::json head = parse_json_object(line, where());
      if (head.contains("end")) {
        if (take<int64_t>(head, "lines") != line_) refuse("it lacks lines before this one");
        if (at_ < text_.size()) refuse("there is more after this, its end");
        return trace;
      }
      add_rank(trace, head);
    }
  }

 private:
  static constexpr int64_t kMostBytes = int64_t{4} << 30;

  std::string where() const { return fmt::format("{}: line {}", path_, line_); }
  [[noreturn]] void refuse(const std::string& what) const {
    fail_file(where(), what, "write it again with --trace");
  }

  std::string_view next() {
    const size_t end = text_.find('\n', at_);
    ++line_;
    if (end == text_.npos) refuse("the trace is cut short here");
    const std::string_view line = std::string_view(text_).substr(at_, end - at_);
    at_ = end + 1;
    return line;
  }

  template <class T>
  T take(const nlohmann::json& object, const char* key) const {
    const auto at = object.find(key);
    const bool is_there =
        at != object.end() && (std::is_same_v<T, std::string> ? at->is_string()
                               : std::is_same_v<T, bool>      ? at->is_boolean()
                                                              : at->is_number_integer());
    if (is_there) return at->get<T>();
    refuse(fmt::format("\"{}\" is not what a trace has there", key));
  }
  uint64_t hash(const std::string& text) const {
    uint64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || stop != text.data() + text.size() || text.size() != 16)
      refuse(in_quotes(text) + " is no hash");
    return value;
  }

  // The file's kind is told by its first line, whatever the rest is.
  Traced header() {
    const size_t end = text_.find('\n');
    const std::string first = text_.substr(0, end);
    const nlohmann::json head = parse_json_object(first, path_);
    if (!head.contains("schema") || head["schema"] != kTraceSchema)
      fail_file(path_, fmt::format("not a trace: its first line has no schema {}", kTraceSchema),
                "give a file that tplab verify --trace wrote");
    (void)next();
    return {.source = take<std::string>(head, "source"),
            .weights = hash(take<std::string>(head, "weights")),
            .tokens = hash(take<std::string>(head, "tokens")),
            .seed = take<uint64_t>(head, "seed"),
            .backward = take<bool>(head, "backward"),
            .steps = take<int64_t>(head, "steps"),
            .batch = take<int64_t>(head, "batch"),
            .seq = take<int64_t>(head, "seq"),
            .algorithm = take<std::string>(head, "algorithm"),
            .device = take<std::string>(head, "device"),
            .comm = take<std::string>(head, "comm"),
            .build = take<std::string>(head, "build")};
  }

  void add_rank(RunTrace& trace, const nlohmann::json& head) {
    const auto run = take<std::string>(head, "run");
    const auto rank = take<int64_t>(head, "rank"), entries = take<int64_t>(head, "entries");
    if (rank == 0) trace.runs.push_back({run, {}});
    if (trace.runs.empty() || trace.runs.back().name != run ||
        rank != std::ssize(trace.runs.back().ranks))
      refuse("ranks are not in order");
    if (entries < 0) refuse(fmt::format("a rank with {} entries", entries));
    std::vector<TraceEntry>& all = trace.runs.back().ranks.emplace_back();
    for (int64_t i = 0; i < entries; ++i) all.push_back(entry());
  }

  TraceEntry entry() {
    const std::string_view line = next();
    const auto list = nlohmann::json::parse(line, nullptr, false);
    if (!list.is_array() || list.size() < 4 || list.size() > 5 || !list[0].is_string() ||
        !list[1].is_string() || !list[2].is_number_unsigned() || !list[3].is_string() ||
        (list.size() == 5 && !list[4].is_string()))
      refuse("no entry of a trace");
    TraceEntry entry{.site = list[0], .did = list[1], .elements = list[2], .dtype = dtype(list[3])};
    if (list.size() == 5) entry.bits = hash(list[4]);
    return entry;
  }
  DType dtype(const std::string& word) const {
    for (int i = 0; i <= static_cast<int>(DType::i32); ++i)  // the last of them
      if (name(static_cast<DType>(i)) == word) return static_cast<DType>(i);
    refuse(in_quotes(word) + " is no dtype");
  }

  const std::string path_, text_;
  size_t at_ = 0;
  int64_t line_ = 0;
};

nlohmann::ordered_json header_of(const Traced& of) {
  return {{"schema", kTraceSchema},   {"build", of.build},   {"device", of.device},
          {"comm", of.comm},          {"source", of.source}, {"weights", hex(of.weights)},
          {"tokens", hex(of.tokens)}, {"seed", of.seed},     {"backward", of.backward},
          {"steps", of.steps},        {"batch", of.batch},   {"seq", of.seq},
          {"algorithm", of.algorithm}};
}

nlohmann::ordered_json list_of(const TraceEntry& entry) {
  nlohmann::ordered_json list = {entry.site, entry.did, entry.elements, name(entry.dtype)};
  if (entry.bits) list.push_back(hex(*entry.bits));
  return list;
}

}  // namespace

RunTrace read_trace(const ByteSource& file) { return TraceReader(file).read(); }

TraceWriter::TraceWriter(const std::string& path) : path_(resolved_path(path)), part_(path_) {
  std::error_code error;
  const auto kind = std::filesystem::status(path_, error).type();
  using std::filesystem::file_type;
  // What is written to, as /dev/stdout, has no other name meanwhile.
  if (kind == file_type::regular || kind == file_type::not_found) part_ += ".part";
  file_ = std::fopen(part_.c_str(), "w");
  if (!file_) refuse(errno);
}

TraceWriter::~TraceWriter() {
  if (file_) std::fclose(file_);
  if (file_ && part_ != path_) std::remove(part_.c_str());
}

void TraceWriter::refuse(int reason) const {
  fail_write(path_ + ": the trace could not be written", reason,
             "choose a file in a folder you can write to");
}

void TraceWriter::line(const std::string& text) {
  ++lines_;
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() ||
      std::fputc('\n', file_) == EOF)
    refuse(errno);
}

void TraceWriter::commit(const RunTrace& trace) {
  line(json_text(header_of(trace.of)));
  for (const TracedRun& run : trace.runs) {
    for (size_t rank = 0; rank < run.ranks.size(); ++rank) {
      line(json_text(nlohmann::ordered_json{
          {"run", run.name}, {"rank", rank}, {"entries", run.ranks[rank].size()}}));
      for (const TraceEntry& entry : run.ranks[rank]) line(json_text(list_of(entry)));
    }
  }
  line(json_text(nlohmann::ordered_json{{"end", true}, {"lines", lines_ + 1}}));
  if (std::fflush(file_) != 0) refuse(errno);
  if (part_ != path_ && std::rename(part_.c_str(), path_.c_str()) != 0) refuse(errno);
  std::fclose(std::exchange(file_, nullptr));
}

}  // namespace tplab
