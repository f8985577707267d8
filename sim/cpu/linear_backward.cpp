// The gradients of y = x Wᵀ + b on the CPU: dx = dy W and dW += dyᵀ x.
#include "sim/cpu/product.h"
#include "sim/cpu/training_kernels.h"

namespace tplab::cpu {

template <class Real>
void linear_backward_input(Crew& crew, const LinearBackwardInput<Real>& a) {
  multiply<Real>(crew,
                 {.a = a.dy,
                  .a_row = a.n,
                  .a_depth = 1,
                  .b = a.w,
                  .b_depth = a.k,
                  .b_col = 1,
                  .c = a.dx,
                  .c_row = a.k,
                  .rows = a.rows,
                  .cols = a.k,
                  .depth = a.n,
                  .add = false},
                 nullptr);
}

template <class Real>
void linear_backward_weight(Crew& crew, const LinearBackwardWeight<Real>& a) {
  multiply<Real>(crew,
                 {.a = a.dy,
                  .a_row = 1,
                  .a_depth = a.n,
                  .b = a.x,
                  .b_depth = a.k,
                  .b_col = 1,
                  .c = a.dw,
                  .c_row = a.k,
                  .rows = a.n,
                  .cols = a.k,
                  .depth = a.rows,
                  .add = true},
                 nullptr);
}

template void linear_backward_input(Crew&, const LinearBackwardInput<float>&);
template void linear_backward_weight(Crew&, const LinearBackwardWeight<float>&);

template void linear_backward_input(Crew&, const LinearBackwardInput<double>&);
template void linear_backward_weight(Crew&, const LinearBackwardWeight<double>&);

}  // namespace tplab::cpu
