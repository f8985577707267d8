#include "sim/ops/embedding.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab {

namespace op {

Cost Embedding::cost() const { return {0, bytes_of(Arrays{&ids, &y}) + bytes_of(Arrays{&y})}; }
Cost EmbeddingBackward::cost() const {
  return {0, bytes_of(Arrays{&ids, &dy}) + 2 * bytes_of(Arrays{&dy})};
}

}  // namespace op

namespace untyped {

Array embedding(Rank& rank, const Array& ids, const Array& table, int64_t first_row) {
  expect(table.shape().dims() == 2 && ids.shape().dims() == 2 && ids.dtype() == DType::i32, rank,
         "embedding", "ids [B, T] and a table [rows, C]", {&ids, &table});
  Array y = rank.device().allocate(table.dtype(),
                                   Shape{ids.shape()[0], ids.shape()[1], table.shape()[1]});
  rank.device().run(op::Embedding{ids, table, first_row, y});
  return y;
}

void embedding_backward(Rank& rank, const Array& ids, const Array& dy, const Array& dtable,
                        int64_t first_row) {
  expect(ids_of_rows(ids, dy) && dy.shape()[-1] == dtable.shape()[-1] &&
             dtable.dtype() == accumulator(dy.dtype()),
         rank, "embedding_backward",
         "a row of dy for each id, as wide as the table, which is its accumulator's",
         {&ids, &dy, &dtable});
  rank.device().run(op::EmbeddingBackward{ids, dy, first_row, dtable});
}

}  // namespace untyped

}  // namespace tplab
