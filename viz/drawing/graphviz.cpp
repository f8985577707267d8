#include "viz/drawing/graphviz.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

#include "sim/error.h"

extern char** environ;

namespace tplab {

namespace {

// A new file that is gone with this object.
class TemporaryFile {
 public:
  TemporaryFile() {
    const char* const folder = std::getenv("TMPDIR");
    path_ = std::string(folder && *folder ? folder : "/tmp") + "/tplab-XXXXXX";
    const int file = mkstemp(path_.data());
    if (file < 0) refuse();
    close(file);
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::string& path() const { return path_; }
  void write(const std::string& text) const {
    std::ofstream file(path_, std::ios::binary);
    file << text;
    file.close();
    if (!file) refuse();
  }
  std::string text() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  [[noreturn]] void refuse() const {
    fail_unavailable(
        fmt::format("{}: a temporary file cannot be written: {}", path_, std::strerror(errno)),
        "free some space there, or set TMPDIR to a folder you can write to");
  }

  std::string path_;
};

struct Ran {
  int exit_code;
  std::string out, err;
};

// Runs a program found on PATH with `input` as its stdin.
Ran run(std::vector<std::string> command, const std::string& input) {
  const TemporaryFile in, out, err;
  in.write(input);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.path().c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.path().c_str(), O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.path().c_str(), O_WRONLY, 0);
  pid_t child = 0;
  const int error =
      posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (error == 0)
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  // Some systems report a program that is not there by its exit code.
  if (error != 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127))
    fail_unavailable("Graphviz is not installed: its program 'dot' was not found",
                     "install the package graphviz, or draw to a .dot file, or leave -o out for "
                     "text in the terminal");
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, out.text(), err.text()};
}

// From the first "<svg", so without what names the program's version; comments out.
std::string plain_svg(const std::string& text) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  size_t at = std::min(text.find("<svg"), text.size());
  while (at < text.size()) {
    const size_t comment = text.find("<!--", at);
    out += text.substr(at, comment - at);
    if (comment == std::string::npos) break;
    at = text.find("-->", comment);
    at = at == std::string::npos ? text.size() : at + 3;
    if (at < text.size() && text[at] == '\n') ++at;
  }
  return out;
}

// The clusters by their first nodes' x; empty if dot says no such thing.
std::vector<size_t> clusters_by_place(const Graph& graph) {
  const std::string plain = run({"dot", "-Tplain"}, dot_text(graph)).out;
  std::vector<std::pair<double, size_t>> places;
  for (size_t c = 0; c < graph.clusters.size(); ++c) {
    const std::string line = fmt::format("\nnode \"{}\" ", graph.clusters[c].nodes.front());
    const size_t at = plain.find(line);
    if (at == std::string::npos) return {};
    places.emplace_back(std::strtod(plain.c_str() + at + line.size(), nullptr), c);
  }
  std::sort(places.begin(), places.end());
  std::vector<size_t> order;
  order.reserve(places.size());
  for (const auto& [x, cluster] : places) order.push_back(cluster);
  return order;
}

// The same graph, told so that its clusters come to stand in order. dot chooses their order by the
// crossings of edges and takes no advice, but it does not look at what nodes say, and clusters are
// alike: so where it puts cluster 2 second, cluster 1 is told in its place.
Graph in_order(const Graph& graph) {
  const std::vector<size_t> order = clusters_by_place(graph);
  if (std::is_sorted(order.begin(), order.end())) return graph;
  std::map<std::string, std::string> told_for;  // node -> the node that is told in its place
  for (size_t place = 0; place < order.size(); ++place) {
    const std::vector<std::string>& there = graph.clusters[order[place]].nodes;
    const std::vector<std::string>& wanted = graph.clusters[place].nodes;
    if (there.size() != wanted.size()) return graph;
    for (size_t i = 0; i < there.size(); ++i) told_for[there[i]] = wanted[i];
  }
  const auto told = [&](const std::string& node) {
    const auto found = told_for.find(node);
    return found == told_for.end() ? node : found->second;
  };
  std::map<std::string, const GraphNode*> nodes;
  for (const GraphNode& node : graph.nodes) nodes[node.id] = &node;
  std::multimap<std::pair<std::string, std::string>, const GraphEdge*> edges;
  for (const GraphEdge& edge : graph.edges) edges.emplace(std::pair(edge.from, edge.to), &edge);

  Graph result = graph;
  for (GraphNode& node : result.nodes) node = *nodes.at(told(node.id));
  for (GraphEdge& edge : result.edges) {
    const std::pair ends(told(edge.from), told(edge.to));
    const auto found = edges.lower_bound(ends);
    if (found == edges.end() || found->first != ends) return graph;  // not alike
    edge = *found->second;
    edges.erase(found);
  }
  for (size_t place = 0; place < order.size(); ++place)
    result.clusters[order[place]] = graph.clusters[place];
  return result;
}

}  // namespace

std::string drawn(const Graph& graph, std::string_view format) {
  if (format == "dot") return dot_text(graph);
  const std::string text = dot_text(graph.clusters_in_order ? in_order(graph) : graph);
  std::vector<std::string> command = {"dot", fmt::format("-T{}", format)};
  if (graph.to_scale()) command = {"neato", "-n2", command[1]};
  if (format == "png") command.emplace_back("-Gdpi=144");
  const Ran ran = run(command, text);
  // What Graphviz shrinks to fit a bitmap nobody can read.
  if (ran.err.find("too large for cairo-renderer bitmaps") != std::string::npos)
    fail("the picture is too large for a bitmap", "use .svg or .pdf");
  const bool cut = format == "svg" && ran.out.find("</svg>") == std::string::npos;
  if (ran.exit_code != 0 || ran.out.empty() || cut) {
    const std::string said =
        ran.err.empty() ? "it wrote no picture" : ran.err.substr(0, ran.err.find('\n'));
    fail_unavailable(fmt::format("Graphviz could not write '{}': {}", format, said),
                     "use .svg, .png, .pdf or .dot, or leave -o out for text in the terminal");
  }
  return format == "svg" ? plain_svg(ran.out) : ran.out;
}

}  // namespace tplab
