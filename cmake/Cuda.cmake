# Looks for CUDA and NCCL: TPLAB_CUDA and TPLAB_NCCL (Backends.cmake). Included by the top
# CMakeLists.txt, since a language belongs to all folders.
#
# The CUDA runtime is linked statically, so the program starts, and says what is missing, where there
# is no driver. cuBLASLt and NCCL are shared libraries without which a linked program would not start at
# all: they are loaded when they are first needed (sim/machine/shared_library.h).

tplab_backend_option(CUDA "ranks on GPUs")
set(found OFF)
set(lacks "no nvcc: install CUDA 12.4 or later, or set CUDACXX to its nvcc")
if(TPLAB_CUDA_WANTED)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(TPLAB_NVCC nvcc PATHS /usr/local/cuda/bin /opt/cuda/bin)
    mark_as_advanced(TPLAB_NVCC)
    if(TPLAB_NVCC)
      set(CMAKE_CUDA_COMPILER ${TPLAB_NVCC})
    endif()
  endif()
  # Machine code for these, and for what comes after them PTX that the driver compiles when the program
  # starts. -DCMAKE_CUDA_ARCHITECTURES=native: for the GPU of this machine alone, in half the time.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90" CACHE STRING "GPUs to build for")
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    find_package(CUDAToolkit)
    find_path(TPLAB_CUBLASLT_HEADERS cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
      set(lacks "nvcc is ${CMAKE_CUDA_COMPILER_VERSION}: 12.4 or later is needed")
    elseif(NOT TARGET CUDA::cudart_static)
      set(lacks "nvcc is there, and libcudart_static.a is not: install CUDA's runtime for developers")
    elseif(NOT TPLAB_CUBLASLT_HEADERS)
      set(lacks "nvcc is there, and cublasLt.h is not: install cuBLAS for developers")
    else()
      set(found ON)
    endif()
  endif()
endif()
list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
tplab_backend(CUDA ${found} LACKS "${lacks}"
              HAS "CUDA ${CMAKE_CUDA_COMPILER_VERSION} for sm_${architectures}")

tplab_backend_option(NCCL "collectives between GPUs by NCCL")
set(found OFF)
set(lacks "no nccl.h: install libnccl-dev, or set NCCL_HEADERS to its folder")
if(NOT TPLAB_HAS_CUDA)
  set(lacks "NCCL needs CUDA, which this build lacks")
elseif(TPLAB_NCCL_WANTED)
  find_path(NCCL_HEADERS nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(NCCL_HEADERS)
    file(STRINGS ${NCCL_HEADERS}/nccl.h version REGEX "#define NCCL_(MAJOR|MINOR|PATCH) ")
    string(REGEX REPLACE "[^0-9;]" "" version "${version}")
    list(JOIN version "." version)
    if(version VERSION_LESS 2.18)  # the first whose communicators are told and asked without waiting
      set(lacks "nccl.h is ${version}: 2.18 or later is needed")
    else()
      set(found ON)
    endif()
  endif()
endif()
tplab_backend(NCCL ${found} LACKS "${lacks}" HAS "NCCL ${version}")

# Sources of sim/ that this build leaves out, or has in place of others, as regular expressions.
list(APPEND TPLAB_LEFT_OUT "/sim/cuda/gpu/" "/sim/nccl/gpu/")  # sim/cuda/CMakeLists.txt has them
if(TPLAB_HAS_CUDA)
  list(APPEND TPLAB_LEFT_OUT "/sim/cuda/gpu_absent.cpp")
endif()
if(TPLAB_HAS_NCCL)
  list(APPEND TPLAB_LEFT_OUT "/sim/nccl/nccl_absent.cpp")
endif()
