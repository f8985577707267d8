#include "sim/machine/ledger.h"

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
    case Algorithm::library:
      return "library";
  }
  return "?";
}

Algorithm parse_algorithm(std::string_view text) {
  for (Algorithm a : {Algorithm::direct, Algorithm::ring, Algorithm::tree, Algorithm::gather,
                      Algorithm::library}) {
    if (text == name(a)) return a;
  }
  fail(fmt::format("unknown algorithm '{}'", text),
       "use direct, ring, tree, gather, or with NCCL library");
}

std::string Site::path() const {
  if (!parent) return "";
  const std::string above = parent->path();
  return above.empty() ? name : above + "/" + name;
}

Ledger::Ledger() : root_(std::make_unique<Site>()) {}

const Site* Ledger::site(const Site* parent, std::string_view name) {
  uint64_t hash = parent->hash ^ 0xcbf29ce484222325u;  // FNV-1a over the path
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = (hash ^ '/') * 0x100000001b3u;
  const auto [begin, end] = sites_.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    if (at->second.parent == parent && at->second.name == name) return &at->second;
  }
  return &sites_.emplace(hash, Site{parent, std::string(name), hash})->second;
}

}  // namespace tplab
