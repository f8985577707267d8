// How every parameter is split over the ranks: a table, and the only place that cuts one up.
//
// Loading, initialising, memory tables and shard pictures all read it.
// source: Shoeybi et al. 2019, section 3 (columns, then rows); Megatron pads the vocabulary.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace tplab {

// What each rank holds of a parameter [rows, cols] (a vector [n] is [n, 1]). Of heads or features
// that do not divide by tp, 25 heads over 8 ranks, each of the first ranks has one more: no rank
// has more than if they were padded to 32, and no number is added that the model lacks. DeepSpeed
// does so too (DeepSpeed#4011); vLLM refuses (vllm#4232).
enum class Split {
  whole,  // all of it
  rows,   // a range of rows: output features (Megatron "column parallel") or their bias
  cols,   // a range of columns: input features (Megatron "row parallel")
  heads,  // fused [Q|K|V]: the rows of the rank's heads in each of the three blocks
  vocab,  // a range of rows of the padded vocabulary; rows past the real one are zeros
};
std::string_view name(Split split);

struct ShardRow {
  std::string name;  // nanoGPT's
  Shape shape;       // global, as stored
  Split split;
  int64_t unit = 1;  // rows or columns that stay together: a head's
};

class ShardPlan {
 public:
  // Throws Error(usage) naming what does not divide and the tp that would work, unless
  // config.uneven: then the ranks with one head less wait for the others.
  ShardPlan(const GptConfig& config, int tp);

  const GptConfig& config() const { return config_; }
  int tp() const { return tp_; }
  const std::vector<ShardRow>& rows() const { return rows_; }
  std::vector<ShardRow>& rows() { return rows_; }  // so that tests can plan something wrong
  const ShardRow& row(std::string_view parameter) const;

  Range heads(int rank) const;   // this rank's, of the model's H
  Range hidden(int rank) const;  // and of the MLP's F features
  // The vocabulary, padded to a multiple of 64 tp: every rank's part is equal, and a multiple of
  // 64 multiplies twice as fast as 50257 does.
  int64_t padded_vocab() const { return padded_vocab_; }
  int64_t vocab_local() const { return padded_vocab_ / tp_; }

  // The part of the stored parameter that this rank copies. For a vocabulary split it may be
  // shorter than local_shape, whose remaining rows are zeros.
  Slice slice(const ShardRow& row, int rank) const;
  Shape local_shape(const ShardRow& row, int rank) const;

  // What a rank holds of all parameters, padding included. No rank holds more than rank 0.
  int64_t local_count(int rank) const;
  int64_t total_count() const;  // of all ranks
  bool even() const { return local_count(0) == local_count(tp_ - 1); }

 private:
  GptConfig config_;
  int tp_;
  int64_t padded_vocab_;
  std::vector<ShardRow> rows_;
  std::map<std::string, size_t, std::less<>> index_;  // of rows_, by name

  // This rank's part of so many numbers, in whole units.
  Range part(int64_t size, int64_t unit, int rank) const;
};

// Every tp up to 64 that a plan takes: "1, 2, 3 or 6".
std::string tps_that_work(const GptConfig& config);

}  // namespace tplab
