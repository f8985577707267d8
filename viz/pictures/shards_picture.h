// Which part of each parameter each rank holds, to scale: from the shard plan alone.
#pragma once

#include <string>
#include <vector>

#include "model/shard_plan.h"
#include "viz/drawing/picture.h"

namespace tplab {

// A rectangle of a parameter, and who holds it.
struct ShardPart {
  static constexpr int kEveryRank = -1;

  int rank = kEveryRank;
  Range rows, cols;
  std::string block = {};  // of a fused matrix: "q", "k" or "v"
  Range heads = {};        //   and which heads
  bool padding = false;    // rows past the real vocabulary, which are zeros
};

// A parameter seen as a matrix; a vector [n] is [n, 1].
struct ShardMatrix {
  std::string name;
  ParameterId id;  // of a fused matrix the first block's
  Shape shape;
  Shape local_shape, least_shape;  // the first rank's, who has most; the last one's
  Split split;
  bool fused;                         // several parameters, one below the other: [Q|K|V]
  std::string_view placement;         // placement_name()'s, of the ranks' parts
  int64_t rows, cols, padding_rows;   // rows: with padding
  int64_t rank_bytes;                 // the first rank's, with padding
  std::vector<ShardPart> parts = {};  // block by block and rank by rank

  bool is_vector() const { return shape.dims() == 1; }
  bool is_even() const { return local_shape == least_shape; }
  std::string rank_shape() const;  // "[96, 32]", or "[96 or 64, 32]"
  std::string rank_size() const;   // "12 KiB", or "at most 12 KiB"
};

struct ShardsPicture {
  std::string model;  // how people call it
  int tp;
  DType dtype;
  int64_t layers, heads, width;       // of the model: L, H, C
  int64_t rank_bytes;                 // of the whole model, the first rank's
  bool even;                          // every rank has as much
  bool tied_head;                     // the head's matrix is the embedding's
  std::vector<ShardMatrix> matrices;  // all of the plan, of blocks the first one's
};

// Throws Error(run) unless the plan gives every number of every parameter to one rank (or all of
// them to all) and each rank what its local shape says.
ShardsPicture shards_picture(const ShardPlan& plan, DType dtype, std::string model);

Graph shards_graph(const ShardsPicture& picture);
std::string shards_text(const ShardsPicture& picture, const TextStyle& style);

// "rows of its heads in Q, K and V", "whole, on every rank".
std::string split_in_words(const ShardMatrix& matrix);

}  // namespace tplab
