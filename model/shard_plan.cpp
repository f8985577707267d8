#include "model/shard_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/error.h"

namespace tplab {

namespace {

constexpr int kLargestTp = 64;

bool divides(const GptConfig& c, int tp) { return c.n_head % tp == 0 && c.n_inner % tp == 0; }

// Every rank has a head, and features of the MLP.
bool suffices(const GptConfig& c, int tp) { return c.n_head >= tp && c.n_inner >= tp; }

bool splits(const GptConfig& c, int tp) { return c.uneven ? suffices(c, tp) : divides(c, tp); }

// The plan itself: which rule a parameter follows, by the end of its name.
Split split_of(std::string_view name) {
  struct Rule {
    std::string_view ending;
    Split split;
  };
  constexpr Rule kRules[] = {
      {"wte.weight", Split::vocab},          // [V, C]
      {"lm_head.weight", Split::vocab},      // [V, C]
      {"attn.c_attn.weight", Split::heads},  // [3C, C]
      {"attn.c_attn.bias", Split::heads},    // [3C]
      {"attn.c_proj.weight", Split::cols},   // [C, C]: its inputs are the heads
      {"mlp.c_fc.weight", Split::rows},      // [F, C]
      {"mlp.c_fc.bias", Split::rows},        // [F]
      {"mlp.c_proj.weight", Split::cols},    // [C, F]
  };  // norms, positions and the biases of row-parallel products: whole
  for (const Rule& rule : kRules) {
    if (name.ends_with(rule.ending)) return rule.split;
  }
  return Split::whole;
}

}  // namespace

std::string_view name(Split split) {
  switch (split) {
    case Split::whole:
      return "whole";
    case Split::rows:
      return "rows";
    case Split::cols:
      return "cols";
    case Split::heads:
      return "heads";
    case Split::vocab:
      return "vocab";
  }
  return "?";
}

std::string tps_that_work(const GptConfig& config) {
  std::vector<int> good;
  for (int tp = 1; tp <= kLargestTp; ++tp) {
    if (splits(config, tp)) good.push_back(tp);
  }
  std::string text;
  for (size_t i = 0; i < good.size(); ++i) {
    const std::string_view separator = i == 0 ? "" : i + 1 == good.size() ? " or " : ", ";
    text += fmt::format("{}{}", separator, good[i]);
  }
  return text;
}

ShardPlan::ShardPlan(const GptConfig& config, int tp) : config_(config), tp_(tp) {
  std::string fix = fmt::format("use --tp {}", tps_that_work(config));
  if (tp < 1 || tp > kLargestTp) fail(fmt::format("tp {} is not between 1 and 64", tp), fix);
  if (!splits(config, tp)) {
    if (!config.uneven && suffices(config, tp)) fix += ", or --uneven: some ranks then have more";
    const std::string_view how = config.uneven ? "is less than" : "does not divide by";
    if (config.uneven ? config.n_head < tp : config.n_head % tp != 0)
      fail(fmt::format("n_head {} {} tp {}", config.n_head, how, tp), fix);
    fail(fmt::format("the MLP's width {} {} tp {}", config.n_inner, how, tp), fix);
  }
  const int64_t multiple = int64_t{64} * tp;
  padded_vocab_ = (config.vocab_size + multiple - 1) / multiple * multiple;
  for (ParameterInfo& p : parameters(config)) {
    const Split split = split_of(p.name);
    const bool by_head = split != Split::whole && p.name.find(".attn.") != std::string::npos;
    index_.emplace(p.name, rows_.size());
    rows_.push_back({std::move(p.name), p.shape, split, by_head ? config.head_size() : 1});
  }
}

const ShardRow& ShardPlan::row(std::string_view parameter) const {
  const auto at = index_.find(parameter);
  if (at == index_.end()) fail(fmt::format("the shard plan has no parameter '{}'", parameter), "");
  return rows_[at->second];
}

Range ShardPlan::part(int64_t size, int64_t unit, int rank) const {
  const int64_t units = size / unit, each = units / tp_, one_more = units % tp_;
  const auto begin = [&](int64_t r) { return unit * (r * each + std::min(r, one_more)); };
  return {begin(rank), begin(rank + 1)};
}

Range ShardPlan::heads(int rank) const { return part(config_.n_head, 1, rank); }

Range ShardPlan::hidden(int rank) const { return part(config_.n_inner, 1, rank); }

Slice ShardPlan::slice(const ShardRow& row, int rank) const {
  const int64_t rows = row.shape[0], cols = cols_of(row.shape);
  switch (row.split) {
    case Split::whole:
      return {{{0, rows}}, {0, cols}};
    case Split::rows:
      return {{part(rows, row.unit, rank)}, {0, cols}};
    case Split::cols:
      return {{{0, rows}}, part(cols, row.unit, rank)};
    case Split::heads: {
      Slice slice{{}, {0, cols}};
      const int64_t block = rows / 3;
      const Range own = part(block, row.unit, rank);
      for (int64_t i = 0; i < 3; ++i)
        slice.rows.push_back({i * block + own.begin, i * block + own.end});
      return slice;
    }
    case Split::vocab: {
      const Range want = part(padded_vocab_, 1, rank);
      return {{{std::min(want.begin, rows), std::min(want.end, rows)}}, {0, cols}};
    }
  }
  return {};
}

Shape ShardPlan::local_shape(const ShardRow& row, int rank) const {
  const Slice own = slice(row, rank);
  Shape shape = row.shape;
  shape[0] = row.split == Split::vocab ? vocab_local() : own.row_count();
  if (shape.dims() == 2) shape[1] = own.cols.size();
  return shape;
}

int64_t ShardPlan::local_count(int rank) const {
  int64_t count = 0;
  for (const ShardRow& row : rows_) {
    count += local_shape(row, rank).count();
  }
  return count;
}

int64_t ShardPlan::total_count() const {
  int64_t count = 0;
  for (int rank = 0; rank < tp_; ++rank) count += local_count(rank);
  return count;
}

}  // namespace tplab
