#include "sim/post.h"

#include <fmt/format.h>

#include <algorithm>

namespace tplab {

std::string Post::text() const {
  const std::string path = site ? site->path() : "";
  std::string text(name(op));
  if (op != Op::send && op != Op::recv) text += fmt::format(" #{}", sequence);
  if (op != Op::barrier && op != Op::split) text += fmt::format(" of {} {}", elements, name(dtype));
  if (reduce == Reduce::max) text += " (max)";
  if (op == Op::broadcast || op == Op::recv) text += fmt::format(" from rank {}", peer);
  if (op == Op::send) text += fmt::format(" to rank {}", peer);
  if (!path.empty()) text += " at " + path;
  if (phase != Phase::forward) text += fmt::format(" ({})", name(phase));
  return text;
}

bool agrees(const Post& a, const Post& b) {
  return a.op == b.op && a.sequence == b.sequence && a.phase == b.phase &&
         a.elements == b.elements && a.dtype == b.dtype && a.site->hash == b.site->hash &&
         a.peer == b.peer && a.reduce == b.reduce && a.algorithm == b.algorithm;
}

std::vector<std::string_view> differences(const Post& a, const Post& b) {
  std::vector<std::string_view> fields;
  const auto note = [&](bool differs, std::string_view field) {
    if (differs) fields.push_back(field);
  };
  note(a.op != b.op, "op");
  note(a.sequence != b.sequence, "sequence");
  note(a.phase != b.phase, "phase");
  note(a.elements != b.elements, "elements");
  note(a.dtype != b.dtype, "dtype");
  note(a.site->hash != b.site->hash, "site");
  note(a.peer != b.peer, "root");
  note(a.reduce != b.reduce, "reduce");
  note(a.algorithm != b.algorithm, "algorithm");
  return fields;
}

std::string computing_at(const Site* site) {
  const std::string path = site->path();
  return path.empty() ? "computing" : "computing at " + path;
}

Error disagreement(std::span<const Caller> callers, const std::string& group) {
  const Post& first = callers[0].post;
  std::vector<std::string_view> fields;
  std::string list;
  for (const auto& [name_of_rank, post] : callers) {
    for (std::string_view field : differences(first, post)) {
      if (std::find(fields.begin(), fields.end(), field) == fields.end()) fields.push_back(field);
    }
    list += fmt::format("\n  {}: called {}{}", name_of_rank, post.text(), group);
    if (post.algorithm != first.algorithm) list += fmt::format(" by {}", name(post.algorithm));
  }
  return {
      ErrorKind::run,
      fmt::format("ranks of a group made calls that differ in {}{}", fmt::join(fields, ", "), list),
      "make every rank of a group call the same collectives in the same order, with the "
      "same sizes"};
}

Error other_message(const Caller& sender, const Caller& receiver, const std::string& group) {
  return {ErrorKind::run,
          fmt::format("a message is not what its receiver expects\n  {}: called {}{}"
                      "\n  {}: called {}{}",
                      sender.name, sender.post.text(), group, receiver.name, receiver.post.text(),
                      group),
          "send and receive the same number of elements of one dtype"};
}

}  // namespace tplab
