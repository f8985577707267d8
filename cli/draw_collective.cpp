// tplab draw collective.
#include <fmt/format.h>

#include "cli/draw.h"
#include "sim/error.h"
#include "viz/pictures/collective_picture.h"

namespace tplab::cli {

namespace {

using Json = nlohmann::ordered_json;

Op parse_op(const std::string& text) {
  for (const Op op :
       {Op::all_reduce, Op::all_gather, Op::reduce_scatter, Op::broadcast, Op::all_to_all})
    if (name(op) == text) return op;
  fail(fmt::format("{} is no collective that can be drawn", text),
       "use --op all_reduce, all_gather, reduce_scatter, broadcast or all_to_all");
}

Json json(const Holding& chunks, int n) {
  Json list = Json::array();
  for (const auto& [chunk, ranks] : chunks) {
    Json whose = Json::array();
    for (int r = 0; r < n; ++r)
      if (ranks >> r & 1u) whose.push_back(r);
    list.push_back({{"chunk", chunk}, {"sum_of_ranks", std::move(whose)}});
  }
  return list;
}

Json json(const CollectiveRecord& record) {
  Json doc = {{"schema", 1},
              {"kind", "collective"},
              {"op", name(record.row->op)},
              {"algorithm", name(record.row->algorithm)},
              {"ran", record.row->name},
              {"ranks", record.n},
              {"steps", record.steps()},
              {"formula", record.row->sent.formula},
              {"transfers", Json::array()},
              {"results", Json::array()}};
  for (const Transfer& t : record.transfers)
    doc["transfers"].push_back(
        {{"step", t.step}, {"from", t.from}, {"to", t.to}, {"chunks", json(t.chunks, record.n)}});
  for (size_t r = 0; r < record.end.size(); ++r)
    doc["results"].push_back({{"rank", r},
                              {"chunks_sent", record.chunks_sent[r]},
                              {"begins_with", json(record.begin[r], record.n)},
                              {"ends_with", json(record.end[r], record.n)}});
  return doc;
}

}  // namespace

Drawing draw_collective(const DrawSettings& settings) {
  const AlgorithmRow& row = find_algorithm(parse_op(settings.op), settings.step.algorithm);
  const auto record =
      std::make_shared<CollectiveRecord>(record_collective(row, settings.step.parallelism.tp));
  check(*record);
  return {[record] { return collective_graph(*record); },
          [record](const TextStyle& style) { return collective_text(*record, style); },
          [record] { return json(*record); }};
}

}  // namespace tplab::cli
