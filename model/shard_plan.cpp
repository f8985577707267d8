#include "model/shard_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "sim/error.h"

namespace tplab {

namespace {

constexpr int kLargestTp = 64;

// What the ranks share out, beside the vocabulary.
struct ToShare {
  std::string name;
  int64_t count;
};

std::vector<ToShare> what_to_share(const Architecture& architecture) {
  std::vector<ToShare> list;
  const auto add = [&](const std::string& name, int64_t count) {
    for (const ToShare& known : list)
      if (known.name == name && known.count == count) return;
    list.push_back({name, count});
  };
  for_each_branch(architecture, [&](const auto& spec) {
    using Spec = std::remove_cvref_t<decltype(spec)>;
    if constexpr (std::is_same_v<Spec, AttentionSpec>)
      add(spec.heads == spec.kv_heads ? "n_head" : "num_key_value_heads", spec.kv_heads);
    else if constexpr (std::is_same_v<Spec, MlpSpec>)
      add("the MLP's width", spec.width);
    else
      add("the experts' width", spec.each.width);
  });
  return list;
}

// The first that such ranks cannot share; null if there is none. Unevenly, every rank has some.
const ToShare* hindrance(const std::vector<ToShare>& list, int tp, bool uneven) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const ToShare& what) {
    return uneven ? what.count < tp : what.count % tp != 0;
  });
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

std::string tps_that_work(const Architecture& architecture, bool uneven) {
  const std::vector<ToShare> list = what_to_share(architecture);
  std::vector<int> good;
  for (int tp = 1; tp <= kLargestTp; ++tp) {
    if (!hindrance(list, tp, uneven)) good.push_back(tp);
  }
  std::string text;
  for (size_t i = 0; i < good.size(); ++i) {
    const std::string_view separator = i == 0 ? "" : i + 1 == good.size() ? " or " : ", ";
    text += fmt::format("{}{}", separator, good[i]);
  }
  return text;
}

void check_shares(const Architecture& architecture, int tp, bool uneven) {
  const std::vector<ToShare> list = what_to_share(architecture);
  std::string fix = fmt::format("use --tp {}", tps_that_work(architecture, uneven));
  if (tp < 1 || tp > kLargestTp) fail(fmt::format("tp {} is not between 1 and 64", tp), fix);
  if (const ToShare* what = hindrance(list, tp, uneven)) {
    if (!uneven && !hindrance(list, tp, true)) fix += ", or --uneven: some ranks then have more";
    const std::string_view how = uneven ? "is less than" : "does not divide by";
    fail(fmt::format("{} {} {} tp {}", what->name, what->count, how, tp), fix);
  }
}

ShardPlan::ShardPlan(const Architecture& architecture, int tp, bool uneven)
    : architecture_(architecture), tp_(tp), uneven_(uneven) {
  check_shares(architecture, tp, uneven);
  const int64_t multiple = int64_t{64} * tp;
  padded_vocab_ = (architecture.vocabulary + multiple - 1) / multiple * multiple;
  rows_ = parameters(architecture);
  tensors_ = named_tensors(rows_);
  for (size_t i = 0; i < rows_.size(); ++i) index_.emplace(rows_[i].id, i);
  for (size_t i = 0; i < tensors_.size(); ++i)
    tensor_of_row_.insert(tensor_of_row_.end(), tensors_[i].rows, i);
}

size_t ShardPlan::index_of(const ParameterId& id) const {
  const auto at = index_.find(id);
  if (at == index_.end())
    fail(fmt::format("the shard plan has no {}", text(id)), "use a parameter that the model has");
  return at->second;
}

Range ShardPlan::part(int64_t size, int64_t unit, int rank) const {
  const int64_t units = size / unit, each = units / tp_, one_more = units % tp_;
  const auto begin = [&](int64_t r) { return unit * (r * each + std::min(r, one_more)); };
  return {begin(rank), begin(rank + 1)};
}

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
