// expect: No DType has numbers of this C\+\+ type
#include <cstdint>

#include "sim/array.h"

using namespace tplab;

#ifdef REPAIRED
float first(const Array& x) { return x.as<float>()[0]; }
#else
int64_t first(const Array& x) { return x.as<int64_t>()[0]; }
#endif
