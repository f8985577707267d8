// Which part of each parameter each rank holds: the only place that cuts one up.
//
// Loading, initialising, memory tables and shard pictures all read it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/slice.h"
#include "model/parameters.h"

namespace tplab {

// Throws Error(usage) naming what tp ranks cannot share and the tp that would work. uneven: they
// need not have equal parts.
void check_shares(const Architecture& architecture, int tp, bool uneven);

// Of heads or features that do not divide by tp, 25 heads over 8 ranks, each of the first ranks has
// one more: no rank has more than if they were padded to 32, and no number is added that the model
// lacks. DeepSpeed does so too (DeepSpeed#4011); vLLM refuses (vllm#4232).
class ShardPlan {
 public:
  // Throws what check_shares throws. Where uneven, ranks with one head less wait for the others.
  ShardPlan(const Architecture& architecture, int tp, bool uneven = false);

  const Architecture& architecture() const { return architecture_; }
  int tp() const { return tp_; }
  bool uneven() const { return uneven_; }  // as it was asked for; see even()
  const std::vector<ParameterRow>& rows() const { return rows_; }
  std::vector<ParameterRow>& rows() { return rows_; }  // so that tests can plan something wrong
  bool has(const ParameterId& id) const { return index_.contains(id); }
  size_t index_of(const ParameterId& id) const;  // in rows(); throws Error(usage) if it has none
  const ParameterRow& row(const ParameterId& id) const { return rows_[index_of(id)]; }

  // This rank's part of so many numbers, in whole units: of an MLP's features.
  Range part(int64_t size, int64_t unit, int rank) const;
  // Its query heads: those of one key stay together.
  Range heads(const AttentionSpec& spec, int rank) const {
    return part(spec.heads, spec.group(), rank);
  }
  // The vocabulary, padded to a multiple of 64 tp: every rank's part is equal, and a multiple of
  // 64 multiplies twice as fast as 50257 does.
  int64_t padded_vocab() const { return padded_vocab_; }
  int64_t vocab_local() const { return padded_vocab_ / tp_; }

  // The part of the parameter that this rank holds. For a vocabulary split it may be shorter than
  // local_shape, whose remaining rows are zeros.
  Slice slice(const ParameterRow& row, int rank) const;
  Shape local_shape(const ParameterRow& row, int rank) const;
  // The same part, as rows and columns of the tensor that the parameter is saved in.
  Slice saved_slice(const ParameterRow& row, int rank) const;

  // The parameters as people see them, by the tensors they are saved in: [Q|K|V] is one, of which
  // a rank has three ranges of rows.
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  const NamedTensor& tensor_of(size_t row) const { return tensors_[tensor_of_row_[row]]; }
  const ParameterRow& first_row(const NamedTensor& tensor) const { return rows_[tensor.first_row]; }
  Slice slice(const NamedTensor& tensor, int rank) const;
  Shape local_shape(const NamedTensor& tensor, int rank) const;

  // What a rank holds of all parameters, padding included. No rank holds more than rank 0.
  int64_t local_count(int rank) const;
  int64_t total_count() const;  // of all ranks
  bool even() const { return local_count(0) == local_count(tp_ - 1); }

 private:
  Architecture architecture_;
  int tp_;
  bool uneven_;
  int64_t padded_vocab_;
  std::vector<ParameterRow> rows_;
  std::map<ParameterId, size_t> index_;  // of rows_
  std::vector<NamedTensor> tensors_;
  std::vector<size_t> tensor_of_row_;  // of tensors_
};

// Every tp up to 64 that a plan takes: "1, 2, 3 or 6".
std::string tps_that_work(const Architecture& architecture, bool uneven = false);

// A word for how a tensor is split; "heads" for one of several parameters, each split by heads.
std::string_view name(Split split, bool fused);

}  // namespace tplab
