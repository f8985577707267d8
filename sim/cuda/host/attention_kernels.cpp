// The kernels of attention, compiled for the host as the others are in kernels.cpp.
#include "sim/cuda/cached_attention.cu"
#include "sim/cuda/causal_attention.cu"
