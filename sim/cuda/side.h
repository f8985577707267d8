// Which of the two ways a source of this folder is compiled: by nvcc for GPUs, or by the host
// compiler for --device cuda-host. Both may be in one program, so all that depends on it is in
// `inline namespace TPLAB_CUDA_SIDE`.
#pragma once

#ifdef __CUDACC__
#define TPLAB_CUDA_SIDE on_gpu
#else
#define TPLAB_CUDA_SIDE on_host
#endif
