// The functions of NCCL, found when they are first needed.
#pragma once

#include <nccl.h>

#include <string>

#include "sim/machine/shared_library.h"

namespace tplab {

// Under their names without the prefix.
struct Nccl {
  Nccl();
  SharedLibrary library;
  int version = 0;  // 22809
  decltype(ncclGetVersion)* get_version;
  decltype(ncclGetUniqueId)* get_unique_id;
  decltype(ncclCommInitRankConfig)* comm_init;
  decltype(ncclCommGetAsyncError)* async_error;
  decltype(ncclCommAbort)* comm_abort;
  decltype(ncclGetErrorString)* error_string;
  decltype(ncclGetLastError)* last_error;
  decltype(ncclGroupStart)* group_start;
  decltype(ncclGroupEnd)* group_end;
  decltype(ncclSend)* send;
  decltype(ncclRecv)* recv;
  decltype(ncclAllReduce)* all_reduce;
  decltype(ncclReduceScatter)* reduce_scatter;
  decltype(ncclAllGather)* all_gather;
  decltype(ncclBroadcast)* broadcast;
  // Of a library that stands for NCCL and for GPUs, in tests: the UUID of this rank's. It moves
  // what is in host memory.
  void (*stand_in_gpu)(char* uuid);
};

// Throws Error(unavailable) where it is missing, or older than the header the build saw.
const Nccl& nccl();
std::string nccl_version_text(int version);  // "2.28.9"

}  // namespace tplab
