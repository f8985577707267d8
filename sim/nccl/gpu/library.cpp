#include "sim/nccl/gpu/library.h"

#include <fmt/format.h>

#include "sim/error.h"
#include "sim/nccl/nccl.h"

#ifndef TPLAB_NCCL_LIBRARIES  // the folder where the build found it
#define TPLAB_NCCL_LIBRARIES ""
#endif

namespace tplab {

namespace {
constexpr const char* kNcclFix =
    "install NCCL (libnccl2) and name its folder in LD_LIBRARY_PATH, or use --comm threads";
}  // namespace

std::string nccl_version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

Nccl::Nccl() : library("NCCL", {"libnccl.so.2"}, TPLAB_NCCL_LIBRARIES, kNcclFix) {
  library.find("ncclGetVersion", get_version);
  // Its config, a struct that grows, is read by the library as that of the header's version.
  if (get_version(&version) != ncclSuccess || version < NCCL_VERSION_CODE)
    fail_unavailable(
        fmt::format("NCCL ({}) is {}, and this build needs {} or later", library.path(),
                    nccl_version_text(version), nccl_version_text(NCCL_VERSION_CODE)),
        kNcclFix);
  library.find("ncclGetUniqueId", get_unique_id);
  library.find("ncclCommInitRankConfig", comm_init);
  library.find("ncclCommGetAsyncError", async_error);
  library.find("ncclCommAbort", comm_abort);
  library.find("ncclGetErrorString", error_string);
  library.find("ncclGetLastError", last_error);
  library.find("ncclGroupStart", group_start);
  library.find("ncclGroupEnd", group_end);
  library.find("ncclSend", send);
  library.find("ncclRecv", recv);
  library.find("ncclAllReduce", all_reduce);
  library.find("ncclReduceScatter", reduce_scatter);
  library.find("ncclAllGather", all_gather);
  library.find("ncclBroadcast", broadcast);
  library.find_if_there("tplab_stand_in_gpu", stand_in_gpu);
}

const Nccl& nccl() {
  static const Nccl library;
  return library;
}

void check_nccl() { static_cast<void>(nccl()); }
bool nccl_is_a_stand_in() { return nccl().stand_in_gpu != nullptr; }

NcclReport nccl_report() {
  NcclReport report;
  report.built = nccl_version_text(NCCL_VERSION_CODE);
  try {
    report.found = fmt::format("{} ({})", nccl_version_text(nccl().version), nccl().library.path());
  } catch (const Error& error) {
    report.problem = error.problem();
    report.fix = error.fix();
  }
  return report;
}

}  // namespace tplab
