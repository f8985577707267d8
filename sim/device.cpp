#include "sim/device.h"

namespace tplab {

double number_on_host(Device& device, const Array& x) {
  double value = 0;
  device.download(x, {DType::f64, &value, 1});
  return value;
}

}  // namespace tplab
