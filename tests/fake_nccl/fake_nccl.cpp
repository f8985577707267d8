// NCCL for tests: libnccl.so.2 for ranks without GPUs, threads or processes of one machine, by
// NCCL's documented functions. What it is told to do it does in host memory, when it is asked how
// far it is (ncclCommGetAsyncError), in the order of the calls. It shares nothing with sim/nccl/.
//
// FAKE_NCCL, read at each call, is a list of words:
//   one_gpu      all ranks are on one GPU
//   version=N    this version of NCCL
//   id_fails     there is no network to listen on
//   no_init      a communicator is never ready
//   hangs=N      the Nth call of a communicator (from 0) is never done
//   fails=N      a peer of it is lost in the Nth call
//   lost         a peer is lost, whatever is asked for
//   abort_hangs  ncclCommAbort does not return
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

std::string script() {
  const char* const words = std::getenv("FAKE_NCCL");
  return std::string(",") + (words ? words : "") + ",";
}
bool has(const std::string& word) { return script().find("," + word + ",") != std::string::npos; }
int number_of(const std::string& word, int otherwise) {
  const std::string all = script();
  const size_t at = all.find("," + word + "=");
  return at == std::string::npos ? otherwise : std::atoi(all.c_str() + at + word.size() + 2);
}

// What one rank sends another goes through a ring of bytes that both see.
constexpr int kMostRanks = 8;
constexpr uint64_t kRingBytes = 1 << 16;
struct Ring {
  std::atomic<uint64_t> written, read;
  char bytes[kRingBytes];
};
struct Shared {
  std::atomic<int> came;
  Ring from_to[kMostRanks][kMostRanks];
};

struct Transfer {
  int peer;
  bool sends;
  char* at;
  uint64_t left;
};
struct Call {
  std::vector<Transfer> transfers;
  std::function<void()> end;
};

size_t size_of(ncclDataType_t type) {
  return type == ncclFloat64 ? 8 : type == ncclBfloat16 ? 2 : type == ncclInt8 ? 1 : 4;
}

// out = the sum or maximum of the terms, in their order.
template <class Real>
void fold(const std::vector<std::vector<char>>& terms, void* out, size_t count, bool sums) {
  for (size_t i = 0; i < count; ++i) {
    const auto term = [&](size_t t) {
      Real x;
      std::memcpy(&x, terms[t].data() + i * sizeof x, sizeof x);
      return x;
    };
    Real result = term(0);
    for (size_t t = 1; t < terms.size(); ++t)
      result = sums ? static_cast<Real>(result + term(t)) : std::max(result, term(t));
    std::memcpy(static_cast<char*>(out) + i * sizeof result, &result, sizeof result);
  }
}

}  // namespace

struct ncclComm {
  std::string name;
  Shared* shared = nullptr;
  int rank = 0, size = 0, calls_ended = 0;
  std::deque<Call> calls;

  ncclResult_t progress() {
    if (has("lost")) return ncclRemoteError;
    if (has("no_init") || shared->came < size) return ncclInProgress;
    while (!calls.empty()) {
      if (calls_ended == number_of("fails", -1)) return ncclRemoteError;
      if (calls_ended == number_of("hangs", -1)) return ncclInProgress;
      if (!move(calls.front())) return ncclInProgress;
      if (calls.front().end) calls.front().end();
      calls.pop_front();
      ++calls_ended;
    }
    return ncclSuccess;
  }
  // True once all of it is done. A later message to a peer waits for the ones before.
  bool move(Call& call) {
    bool done = true;
    std::set<std::pair<int, bool>> busy;
    for (Transfer& one : call.transfers) {
      if (one.left == 0 || !busy.emplace(one.peer, one.sends).second) continue;
      Ring& ring = one.sends ? shared->from_to[rank][one.peer] : shared->from_to[one.peer][rank];
      const uint64_t written = ring.written, read = ring.read, begin = one.sends ? written : read;
      const uint64_t there = one.sends ? kRingBytes - (written - read) : written - read;
      const uint64_t n = std::min({one.left, there, kRingBytes - begin % kRingBytes});
      if (one.sends) {
        std::memcpy(ring.bytes + begin % kRingBytes, one.at, n);
        ring.written = written + n;
      } else {
        std::memcpy(one.at, ring.bytes + begin % kRingBytes, n);
        ring.read = read + n;
      }
      one.at += n;
      one.left -= n;
    }
    for (const Transfer& one : call.transfers) done &= one.left == 0;
    return done;
  }
};

namespace {

thread_local int group_depth = 0;
thread_local std::vector<std::pair<ncclComm*, Transfer>> grouped;

ncclResult_t queue(ncclComm* comm, Call call) {
  comm->calls.push_back(std::move(call));
  return comm->progress();
}

ncclResult_t message(ncclComm* comm, const void* at, size_t bytes, int peer, bool sends) {
  if (peer < 0 || peer >= comm->size || peer == comm->rank) return ncclInvalidArgument;
  const Transfer one{peer, sends, static_cast<char*>(const_cast<void*>(at)), bytes};
  if (group_depth == 0) return queue(comm, {{one}, {}});
  grouped.emplace_back(comm, one);
  return ncclInProgress;
}

// Every rank's `bytes` to all others: into gathered(rank).
Call all_to_all(ncclComm* comm, const void* mine, size_t bytes,
                const std::function<char*(int rank)>& gathered) {
  Call call;
  for (int peer = 0; peer < comm->size; ++peer) {
    if (peer == comm->rank) {
      if (gathered(peer) != mine) std::memcpy(gathered(peer), mine, bytes);
      continue;
    }
    call.transfers.push_back({peer, true, static_cast<char*>(const_cast<void*>(mine)), bytes});
    call.transfers.push_back({peer, false, gathered(peer), bytes});
  }
  return call;
}

// `count` numbers from `first` on of the sum over ranks of `whole` numbers, into `out`.
ncclResult_t sum(ncclComm* comm, const void* in, void* out, size_t whole, size_t first,
                 size_t count, ncclDataType_t type, ncclRedOp_t op) {
  if (op != ncclSum && op != ncclMax) return ncclInvalidArgument;
  const size_t bytes = whole * size_of(type);
  const auto terms = std::make_shared<std::vector<std::vector<char>>>(
      static_cast<size_t>(comm->size), std::vector<char>(bytes));
  Call call = all_to_all(comm, in, bytes,
                         [&](int rank) { return (*terms)[static_cast<size_t>(rank)].data(); });
  call.end = [=] {
    for (std::vector<char>& term : *terms)
      term.erase(term.begin(), term.begin() + static_cast<ptrdiff_t>(first * size_of(type)));
    if (type == ncclFloat64) fold<double>(*terms, out, count, op == ncclSum);
    if (type == ncclFloat32) fold<float>(*terms, out, count, op == ncclSum);
    if (type == ncclInt32) fold<int32_t>(*terms, out, count, op == ncclSum);
  };
  return type == ncclFloat64 || type == ncclFloat32 || type == ncclInt32
             ? queue(comm, std::move(call))
             : ncclInvalidArgument;
}

}  // namespace

extern "C" {

// The UUID of this rank's GPU: tplab's own word for a library that stands for GPUs too.
void tplab_stand_in_gpu(char* uuid) {
  static std::atomic<int> gpus{0};
  const int place[4] = {has("one_gpu") ? 0 : static_cast<int>(::getpid()),
                        has("one_gpu") ? 0 : ++gpus, 0, 0};
  std::memcpy(uuid, place, sizeof place);
}

ncclResult_t ncclGetVersion(int* version) {
  *version = number_of("version", NCCL_VERSION_CODE);
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> ids{0};
  if (has("id_fails")) return ncclSystemError;
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->internal, sizeof id->internal, "/tplab-fake-nccl.%d.%d", ::getpid(), ++ids);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* made, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (size > kMostRanks || rank < 0 || rank >= size || config->blocking != 0)
    return ncclInvalidArgument;
  const int file = ::shm_open(id.internal, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Shared)) != 0) return ncclSystemError;
  void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* const comm = new ncclComm{id.internal, static_cast<Shared*>(memory), rank, size, 0, {}};
  if (++comm->shared->came == size) ::shm_unlink(id.internal);
  *made = comm;
  return comm->progress();
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = comm->progress();
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  while (has("abort_hangs")) ::pause();
  ::shm_unlink(comm->name.c_str());
  ::munmap(comm->shared, sizeof(Shared));
  delete comm;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError       ? "remote process exited or there was a network error"
         : result == ncclInvalidArgument ? "invalid argument"
                                         : "unhandled system error";
}
const char* ncclGetLastError(ncclComm_t) { return "the fake said so"; }

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  if (--group_depth > 0 || grouped.empty()) return ncclSuccess;
  Call call;
  ncclComm* const comm = grouped[0].first;
  for (const auto& [of, one] : std::exchange(grouped, {})) {
    if (of != comm) return ncclInvalidUsage;
    call.transfers.push_back(one);
  }
  return queue(comm, std::move(call));
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t) {
  return message(comm, from, count * size_of(type), peer, true);
}
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t) {
  return message(comm, to, count * size_of(type), peer, false);
}

ncclResult_t ncclAllGather(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t) {
  const size_t bytes = count * size_of(type);
  return queue(comm, all_to_all(comm, in, bytes, [&](int rank) {
                 return static_cast<char*>(out) + static_cast<size_t>(rank) * bytes;
               }));
}

ncclResult_t ncclBroadcast(const void* in, void* out, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t) {
  const size_t bytes = count * size_of(type);
  Call call;
  if (comm->rank != root) {
    call.transfers.push_back({root, false, static_cast<char*>(out), bytes});
  } else {
    if (in != out) std::memcpy(out, in, bytes);
    for (int peer = 0; peer < comm->size; ++peer)
      if (peer != root) call.transfers.push_back({peer, true, static_cast<char*>(out), bytes});
  }
  return queue(comm, std::move(call));
}

ncclResult_t ncclAllReduce(const void* in, void* out, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
  return sum(comm, in, out, count, 0, count, type, op);
}

ncclResult_t ncclReduceScatter(const void* in, void* out, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
  return sum(comm, in, out, count * static_cast<size_t>(comm->size),
             count * static_cast<size_t>(comm->rank), count, type, op);
}

}  // extern "C"
