#include "sim/ops/optimizer.h"

#include "sim/ops/list.h"

namespace tplab {

double sum_of_squares(Device& device, const Array& x) {
  Array out = device.allocate(DType::f64, {1});
  device.run(op::SumOfSquares{x, out});
  return number_on_host(device, out);
}

}  // namespace tplab
