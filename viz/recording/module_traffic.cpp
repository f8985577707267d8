#include "viz/recording/module_traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "sim/text/bytes_text.h"
#include "viz/drawing/fold.h"

namespace tplab {

TrafficSum& TrafficSum::operator+=(const TrafficSum& other) {
  calls += other.calls;
  payload_bytes += other.payload_bytes;
  wire_bytes += other.wire_bytes;
  return *this;
}

bool SiteTraffic::agrees() const {
  return std::all_of(phases.begin(), phases.end(), [](const auto& p) { return p.agrees(); });
}

std::vector<SiteTraffic> compare_traffic(const std::vector<Communication>& expected,
                                         const std::vector<Communication>& counted) {
  std::vector<SiteTraffic> sites;
  const auto add = [&](const Communication& c, TrafficSum TrafficPair::*side) {
    auto at = std::find_if(sites.begin(), sites.end(), [&](const SiteTraffic& s) {
      return s.site == c.site && s.axis == c.axis && s.op == c.op;
    });
    if (at == sites.end()) at = sites.insert(at, {c.site, c.axis, c.op});
    at->phases[static_cast<size_t>(c.phase)].*side += {1, c.payload_bytes, c.wire_bytes};
  };
  for (const Communication& c : expected) add(c, &TrafficPair::expected);
  for (const Communication& c : counted) add(c, &TrafficPair::counted);
  return sites;
}

namespace {

using Phases = std::array<TrafficPair, 3>;

// A module, or an operation of one.
struct Node {
  std::string name;
  std::optional<Phases> traffic = {};  // of an operation
  std::vector<Node> children = {};
  int64_t count = 1;  // how many are folded into this

  bool alike_to(const Node& other) const {
    if (traffic != other.traffic || children.size() != other.children.size()) return false;
    for (size_t i = 0; i < children.size(); ++i)
      if (children[i].name != other.children[i].name || !children[i].alike_to(other.children[i]))
        return false;
    return true;
  }
  Node& child(const std::string& called) {
    const auto at = std::find_if(children.begin(), children.end(),
                                 [&](const Node& n) { return n.name == called; });
    return at != children.end() ? *at : children.emplace_back(Node{called});
  }
};

Node tree_of(const std::vector<SiteTraffic>& sites) {
  Node root;
  for (const SiteTraffic& s : sites) {
    Node* at = &root;
    for (size_t begin = 0; begin < s.site.size();) {
      const size_t end = std::min(s.site.find('/', begin), s.site.size());
      at = &at->child(s.site.substr(begin, end - begin));
      begin = end + 1;
    }
    at->child(fmt::format("{}{}", name(s.op), s.axis == Axis::dp ? " dp" : "")).traffic = s.phases;
  }
  return root;
}

void fold(Node& root) {
  root.children = fold_blocks(
      std::move(root.children), [](const Node& a, const Node& b) { return a.alike_to(b); },
      [](const Node&, const Node&) {});
  for (Node& node : root.children)
    if (node.count > 1) node.name += ", each";
}

// The columns of some phases, as a table.
class TreeTable {
 public:
  TreeTable(std::vector<Phase> phases, std::string heading)
      : phases_(std::move(phases)), table_(columns(std::move(heading))) {
    std::vector<Table::Cell> row = {{""}};
    for (size_t i = 0; i < phases_.size(); ++i) {
      row.push_back({"expected", Ink::dim});
      row.push_back({"counted", Ink::dim});
    }
    table_.row(std::move(row));
  }

  // Whether anything of it was in these phases.
  bool shows(const Node& node) const {
    if (node.traffic)
      return std::any_of(phases_.begin(), phases_.end(), [&](Phase p) {
        return (*node.traffic)[static_cast<size_t>(p)] != TrafficPair{};
      });
    return std::any_of(node.children.begin(), node.children.end(),
                       [&](const Node& n) { return shows(n); });
  }

  void add(const Node& node, int depth, int64_t times) {
    if (!shows(node)) return;
    const std::string indent(static_cast<size_t>(2 * depth), ' ');
    if (node.traffic) {
      row(indent + node.name, *node.traffic, Ink::plain);
      for (size_t p = 0; p < 3; ++p)
        for (int64_t i = 0; i < times; ++i) {
          total_[p].expected += (*node.traffic)[p].expected;
          total_[p].counted += (*node.traffic)[p].counted;
        }
    } else {
      table_.row({{"  " + indent + node.name}});
    }
    for (const Node& child : node.children) add(child, depth + 1, times * child.count);
  }

  std::string text(bool colour, int columns) {
    row("total", total_, Ink::bold);
    return table_.text(colour, columns);
  }

 private:
  std::vector<Table::Column> columns(std::string heading) const {
    std::vector<Table::Column> all = {{std::move(heading)}};
    for (Phase phase : phases_) {
      all.push_back({std::string(name(phase)), Table::Align::right});
      all.push_back({"", Table::Align::right});
    }
    return all;
  }

  void row(const std::string& label, const Phases& traffic, Ink ink) {
    bool good = true;
    std::vector<Table::Cell> cells = {{}};
    for (Phase phase : phases_) {
      const TrafficPair& pair = traffic[static_cast<size_t>(phase)];
      good = good && pair.agrees();
      const auto add_cell = [&](const TrafficSum& t, Ink how) {
        if (pair == TrafficPair{}) return cells.push_back({});
        cells.push_back({fmt::format("{} {:>8}", t.calls,
                                     pair.agrees() ? bytes_text(t.wire_bytes)
                                                   : fmt::format("{} B", t.wire_bytes)),
                         how});
      };
      add_cell(pair.expected, ink);
      add_cell(pair.counted, pair.agrees() ? ink : Ink::bad);
    }
    cells[0] = {(good ? "  " : "! ") + label, good ? ink : Ink::bad};
    table_.row(std::move(cells));
  }

  std::vector<Phase> phases_;
  Table table_;
  Phases total_ = {};
};

}  // namespace

std::string traffic_text(const std::vector<SiteTraffic>& sites, bool unfold, bool colour,
                         int columns) {
  Node root = tree_of(sites);
  if (!unfold) fold(root);
  std::string text;
  const auto add = [&](const std::vector<Phase>& phases) {
    TreeTable table(phases, "  module");
    if (!table.shows(root)) return;
    for (const Node& node : root.children) table.add(node, 0, node.count);
    if (!text.empty()) text += "\n";
    text += table.text(colour, columns);
  };
  // A forward pass alone has no column for the other.
  const bool backward = TreeTable({Phase::backward}, "").shows(root);
  add(backward ? std::vector{Phase::forward, Phase::backward} : std::vector{Phase::forward});
  add({Phase::optimizer});
  return text;
}

}  // namespace tplab
