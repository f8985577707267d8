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

}  // namespace

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
  rows_ = parameters(config);
  tensors_ = named_tensors(rows_);
  for (size_t i = 0; i < rows_.size(); ++i) index_.emplace(rows_[i].id, i);
  for (size_t i = 0; i < tensors_.size(); ++i)
    tensor_of_row_.insert(tensor_of_row_.end(), tensors_[i].rows, i);
}

size_t ShardPlan::index_of(const ParameterId& id) const {
  const auto at = index_.find(id);
  if (at == index_.end()) fail("the shard plan has no such parameter", "");
  return at->second;
}

Range ShardPlan::part(int64_t size, int64_t unit, int rank) const {
  const int64_t units = size / unit, each = units / tp_, one_more = units % tp_;
  const auto begin = [&](int64_t r) { return unit * (r * each + std::min(r, one_more)); };
  return {begin(rank), begin(rank + 1)};
}

Range ShardPlan::heads(int rank) const { return part(config_.n_head, 1, rank); }

Range ShardPlan::hidden(int rank) const { return part(config_.n_inner, 1, rank); }

Slice ShardPlan::slice(const ParameterRow& row, int rank) const {
  const int64_t rows = row.shape[0], cols = cols_of(row.shape);
  switch (row.split) {
    case Split::whole:
      return {{{0, rows}}, {0, cols}};
    case Split::rows:
      return {{part(rows, row.unit, rank)}, {0, cols}};
    case Split::cols:
      return {{{0, rows}}, part(cols, row.unit, rank)};
    case Split::vocab: {
      const Range want = part(padded_vocab_, 1, rank);
      return {{{std::min(want.begin, rows), std::min(want.end, rows)}}, {0, cols}};
    }
  }
  return {};
}

Shape ShardPlan::local_shape(const ParameterRow& row, int rank) const {
  const Slice own = slice(row, rank);
  Shape shape = row.shape;
  shape[0] = row.split == Split::vocab ? vocab_local() : own.row_count();
  if (shape.dims() == 2) shape[1] = own.cols.size();
  return shape;
}

Slice ShardPlan::saved_slice(const ParameterRow& row, int rank) const {
  Slice saved = slice(row, rank);
  for (Range& rows : saved.rows) rows = {rows.begin + row.first_row, rows.end + row.first_row};
  return saved;
}

Slice ShardPlan::slice(const NamedTensor& tensor, int rank) const {
  Slice all = saved_slice(first_row(tensor), rank);
  for (size_t i = 1; i < tensor.rows; ++i) {
    const Slice next = saved_slice(rows_[tensor.first_row + i], rank);
    all.rows.insert(all.rows.end(), next.rows.begin(), next.rows.end());
  }
  return all;
}

Shape ShardPlan::local_shape(const NamedTensor& tensor, int rank) const {
  Shape shape = local_shape(first_row(tensor), rank);
  for (size_t i = 1; i < tensor.rows; ++i)
    shape[0] += local_shape(rows_[tensor.first_row + i], rank)[0];
  return shape;
}

int64_t ShardPlan::local_count(int rank) const {
  int64_t count = 0;
  for (const ParameterRow& row : rows_) count += local_shape(row, rank).count();
  return count;
}

int64_t ShardPlan::total_count() const {
  int64_t count = 0;
  for (int rank = 0; rank < tp_; ++rank) count += local_count(rank);
  return count;
}

std::string_view name(Split split, bool fused) {
  if (fused) return "heads";
  switch (split) {
    case Split::whole:
      return "whole";
    case Split::rows:
      return "rows";
    case Split::cols:
      return "cols";
    case Split::vocab:
      return "vocab";
  }
  return "?";
}

}  // namespace tplab
