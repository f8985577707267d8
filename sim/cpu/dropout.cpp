// Dropout on the CPU.
#include "sim/cpu/dropout.h"

#include "sim/cpu/kernels.h"
#include "sim/cpu/training_kernels.h"
#include "sim/cpu/views.h"

namespace tplab::cpu {

template <class Real>
void dropout(Crew& crew, const Real* x, const DropoutMask& mask, Real* y, int64_t B, int64_t T,
             int64_t C) {
  constexpr int64_t kGrain = 4096, kRun = 256;
  crew.parallel_for(B * T, std::max<int64_t>(1, kGrain / C), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t sequence = mask.first_sequence + r / T, position = mask.first_position + r % T;
      const int64_t first = (sequence * mask.whole_length + position) * C;
      for (int64_t c = 0; c < C; c += kRun) {
        Real factors[kRun];
        const int64_t n = std::min(kRun, C - c);
        dropout_factors(mask, first + c, n, factors);
        Row<Real>(y + r * C + c, n) = ConstRow<Real>(x + r * C + c, n) * ConstRow<Real>(factors, n);
      }
    }
  });
}

template void dropout(Crew&, const float*, const DropoutMask&, float*, int64_t, int64_t, int64_t);
template void dropout(Crew&, const double*, const DropoutMask&, double*, int64_t, int64_t, int64_t);

}  // namespace tplab::cpu
