#include "sim/ops/norm.h"

#include "sim/ops/expect.h"
#include "sim/ops/list.h"

namespace tplab::untyped {

Array layer_norm(Rank& rank, const Array& x, const Array& weight, const Array& bias, double eps) {
  const int64_t c = x.shape()[-1];
  expect(vector_of(weight, x, c), rank, "layer_norm", "x [.., C] and a weight [C]", {&x, &weight});
  if (bias.present()) expect(vector_of(bias, x, c), rank, "layer_norm", "a bias [C]", {&x, &bias});
  Array y = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::LayerNorm{x, weight, bias, eps, y});
  return y;
}

Array layer_norm_backward(Rank& rank, Array&& dy, const Array& x, const Array& weight, double eps,
                          const Array& dweight, const Array& dbias) {
  expect(dy.shape() == x.shape() && dy.dtype() == x.dtype() &&
             vector_of(weight, x, x.shape()[-1]) && gradient_of(dweight, weight) &&
             (!dbias.present() || gradient_of(dbias, weight)),
         rank, "layer_norm_backward",
         "dy like x [.., C], weight [C], and dweight and dbias [C], its accumulator's",
         {&dy, &x, &weight, &dweight, &dbias});
  Array dx = like_or_same(rank, dy);
  rank.device().run(op::LayerNormBackward{x, weight, eps, dy, dx, dweight, dbias});
  return dx;
}

Array rms_norm(Rank& rank, const Array& x, const Array& weight, double eps, bool plus_one) {
  expect(vector_of(weight, x, x.shape()[-1]), rank, "rms_norm", "x [.., C] and a weight [C]",
         {&x, &weight});
  Array y = rank.device().allocate(x.dtype(), x.shape());
  rank.device().run(op::RmsNorm{x, weight, eps, plus_one, y});
  return y;
}

Array rms_norm_backward(Rank& rank, Array&& dy, const Array& x, const Array& weight, double eps,
                        bool plus_one, const Array& dweight) {
  expect(dy.shape() == x.shape() && dy.dtype() == x.dtype() &&
             vector_of(weight, x, x.shape()[-1]) && gradient_of(dweight, weight),
         rank, "rms_norm_backward",
         "dy like x [.., C], weight [C], and dweight [C], its accumulator's",
         {&dy, &x, &weight, &dweight});
  Array dx = like_or_same(rank, dy);
  rank.device().run(op::RmsNormBackward{x, weight, eps, plus_one, dy, dx, dweight});
  return dx;
}

}  // namespace tplab::untyped
