#include "sim/device.h"

#include "sim/ops/list.h"
#include "sim/ops/optimizer.h"

namespace tplab {

double number_on_host(Device& device, const Array& x) {
  double value = 0;
  device.download(x, {DType::f64, &value, 1});
  return value;
}

double sum_of_squares(Device& device, const Array& x) {
  Array out = device.allocate(DType::f64, {1});
  device.run(op::SumOfSquares{x, out});
  return number_on_host(device, out);
}

}  // namespace tplab
