// The plan as rectangles, and checks that it leaves out nothing and gives nothing twice.
#include "viz/pictures/shards_picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "sim/error.h"
#include "sim/placement.h"
#include "sim/text/bytes_text.h"
#include "viz/drawing/table.h"

namespace tplab {

namespace {

// Blocks are alike: only the first is drawn.
bool is_drawn(const ParameterId& id) { return !id.at.in_block() || id.at.block == 0; }

// Of a fused matrix.
std::string block_name(Role role) { return role == Role::q ? "q" : role == Role::k ? "k" : "v"; }

bool overlap(const Range& a, const Range& b) { return a.begin < b.end && b.begin < a.end; }

int64_t area(const ShardPart& part) { return part.rows.size() * part.cols.size(); }

void check_parts(const ShardMatrix& matrix, const ShardPlan& plan, const NamedTensor& tensor) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::run, fmt::format("the plan of {} {}", matrix.name, what),
                "this is a bug in tplab's shard plan; please report it");
  };
  int64_t covered = 0;
  std::vector<int64_t> held(static_cast<size_t>(plan.tp()));
  for (size_t i = 0; i < matrix.parts.size(); ++i) {
    const ShardPart& part = matrix.parts[i];
    covered += area(part);
    for (size_t r = 0; r < held.size(); ++r)
      if (part.rank == ShardPart::kEveryRank || part.rank == static_cast<int>(r))
        held[r] += area(part);
    for (size_t j = 0; j < i; ++j)
      if (overlap(part.rows, matrix.parts[j].rows) && overlap(part.cols, matrix.parts[j].cols))
        refuse(fmt::format("gives the same numbers to ranks {} and {}", matrix.parts[j].rank,
                           part.rank));
  }
  if (covered != matrix.rows * matrix.cols)
    refuse(fmt::format("gives {} of its {} numbers to ranks", covered, matrix.rows * matrix.cols));
  for (size_t r = 0; r < held.size(); ++r) {
    const int64_t planned = plan.local_shape(tensor, static_cast<int>(r)).count();
    if (held[r] != planned)
      refuse(fmt::format("gives rank {} {} numbers, where its shape says {}", r, held[r], planned));
  }
}

// One rank's rectangles of one parameter, and the rows of padding below them.
void add_parts(ShardMatrix& matrix, const ShardPlan& plan, const ParameterRow& row, int rank) {
  const Slice slice = plan.saved_slice(row, rank);
  for (const Range& rows : slice.rows) {
    ShardPart part{.rank = rank, .rows = rows, .cols = slice.cols};
    if (matrix.fused) {
      part.block = block_name(row.id.role);
      part.heads = {(rows.begin - row.first_row) / row.unit, (rows.end - row.first_row) / row.unit};
    }
    if (area(part) > 0) matrix.parts.push_back(std::move(part));
  }
  if (row.split != Split::vocab) return;
  const Range mine{rank * matrix.local_shape[0], (rank + 1) * matrix.local_shape[0]};
  const int64_t real = mine.begin + slice.row_count();
  if (real < mine.end)
    matrix.parts.push_back(
        {.rank = rank, .rows = {real, mine.end}, .cols = slice.cols, .padding = true});
}

ShardMatrix matrix_of(const ShardPlan& plan, const NamedTensor& tensor, DType dtype) {
  const Split split = plan.first_row(tensor).split;
  const bool whole = split == Split::whole;
  const Shape local = plan.local_shape(tensor, 0);
  const int64_t padded = split == Split::vocab ? local[0] * plan.tp() : tensor.shape[0];
  ShardMatrix matrix{.name = tensor.name,
                     .id = tensor.id,
                     .shape = tensor.shape,
                     .local_shape = local,
                     .least_shape = plan.local_shape(tensor, plan.tp() - 1),
                     .split = split,
                     .fused = tensor.fused(),
                     .placement = whole ? placement_name<Invariant>() : placement_name<Varying>(),
                     .rows = padded,
                     .cols = cols_of(tensor.shape),
                     .padding_rows = padded - tensor.shape[0],
                     .rank_bytes = local.count() * size_bytes(dtype)};
  if (whole) {
    matrix.parts = {{.rows = {0, matrix.rows}, .cols = {0, matrix.cols}}};
  } else {
    for (size_t i = 0; i < tensor.rows; ++i)
      for (int rank = 0; rank < plan.tp(); ++rank)
        add_parts(matrix, plan, plan.rows()[tensor.first_row + i], rank);
  }
  check_parts(matrix, plan, tensor);
  return matrix;
}

}  // namespace

std::string ShardMatrix::rank_shape() const {
  std::vector<std::string> sizes;
  for (int i = 0; i < local_shape.dims(); ++i) {
    sizes.push_back(fmt::format("{}", local_shape[i]));
    if (local_shape[i] != least_shape[i]) sizes.back() += fmt::format(" or {}", least_shape[i]);
  }
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

std::string ShardMatrix::rank_size() const {
  return (is_even() ? "" : "at most ") + bytes_text(rank_bytes);
}

ShardsPicture shards_picture(const ShardPlan& plan, DType dtype, std::string model) {
  const Architecture& c = plan.architecture();
  ShardsPicture picture{.model = std::move(model),
                        .tp = plan.tp(),
                        .dtype = dtype,
                        .layers = c.layers(),
                        .heads = first_attention(c).heads,
                        .width = c.width,
                        .rank_bytes = plan.local_count(0) * size_bytes(dtype),
                        .even = plan.even(),
                        .tied_head = c.tied_head,
                        .matrices = {}};
  for (const NamedTensor& tensor : plan.tensors())
    if (is_drawn(tensor.id)) picture.matrices.push_back(matrix_of(plan, tensor, dtype));
  return picture;
}

std::string split_in_words(const ShardMatrix& matrix) {
  if (matrix.fused) return "rows of its heads in Q, K and V";
  switch (matrix.split) {
    case Split::whole:
      return "whole, on every rank";
    case Split::rows:
      return "rows: output features";
    case Split::cols:
      return "columns: input features";
    case Split::vocab:
      return "rows of the padded vocabulary";
  }
  return "?";
}

}  // namespace tplab
