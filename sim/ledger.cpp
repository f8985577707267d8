#include "sim/ledger.h"

#include <fmt/format.h>

#include "sim/error.h"

namespace tplab {

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::forward:
      return "forward";
    case Phase::backward:
      return "backward";
    case Phase::optimizer:
      return "optimizer";
  }
  return "?";
}

std::string_view name(Axis axis) { return axis == Axis::tp ? "tp" : "dp"; }

std::string_view name(Op op) {
  switch (op) {
    case Op::all_reduce:
      return "all_reduce";
    case Op::all_gather:
      return "all_gather";
    case Op::reduce_scatter:
      return "reduce_scatter";
    case Op::broadcast:
      return "broadcast";
    case Op::all_to_all:
      return "all_to_all";
    case Op::barrier:
      return "barrier";
    case Op::send:
      return "send";
    case Op::recv:
      return "recv";
    case Op::split:
      return "split";
  }
  return "?";
}

std::string_view name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::direct:
      return "direct";
    case Algorithm::ring:
      return "ring";
    case Algorithm::tree:
      return "tree";
    case Algorithm::gather:
      return "gather";
  }
  return "?";
}

Algorithm parse_algorithm(std::string_view text) {
  for (Algorithm a : {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather}) {
    if (text == name(a)) return a;
  }
  fail(fmt::format("unknown algorithm '{}'", text), "use direct, ring, tree or gather");
}

std::string Site::path() const {
  if (!parent) return "";
  const std::string above = parent->path();
  return above.empty() ? name : above + "/" + name;
}

Ledger::Ledger() : sites_(std::make_unique<std::deque<Site>>()) { sites_->emplace_back(); }

const Site* Ledger::site(const Site* parent, std::string_view name) {
  // A model has a few hundred sites, found by pointer and hash; a list of them is fast enough
  // because the search starts at the most recent ones and a model visits them in order.
  uint64_t hash = parent->hash ^ 0xcbf29ce484222325u;  // FNV-1a over the path
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = (hash ^ '/') * 0x100000001b3u;
  for (const Site& site : *sites_) {
    if (site.parent == parent && site.hash == hash && site.name == name) return &site;
  }
  sites_->push_back(Site{parent, std::string(name), hash});
  return &sites_->back();
}

}  // namespace tplab
