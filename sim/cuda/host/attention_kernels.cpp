// The kernels of attention for --device cuda-host.

#include "sim/cuda/cached_attention.cu"
#include "sim/cuda/causal_attention.cu"
#include "sim/cuda/causal_attention_backward.cu"
#include "sim/cuda/plain_attention.cu"
