#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "sim/algorithms/table.h"
#include "sim/cuda/gpu/check.h"
#include "sim/cuda/runtime.h"
#include "sim/error.h"
#include "sim/machine/world.h"
#include "sim/nccl/gpu/communicator.h"
#include "sim/nccl/gpu/library.h"
#include "sim/nccl/nccl.h"

namespace tplab {
namespace {

ncclDataType_t nccl_type(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i32:
      return ncclInt32;
    default:
      return ncclFloat32;
  }
}

// Messages in the stream's order: what arrives is there for what is queued next, and what was sent
// may be overwritten by that.
class NcclLinks final : public Links {
 public:
  NcclLinks(int rank, int size, Device& device, NcclCommunicator& comm, cudaStream_t stream)
      : Links(rank, size, device), comm_(comm), stream_(stream) {}

  bool peer_access() const override { return false; }
  const std::byte* peer_in(int) const override { return no_peer_memory(); }
  std::byte* peer_out(int) const override { return no_peer_memory(); }
  void rendezvous() override {}  // the stream's order is enough

  // Several messages at once, in each direction; an empty one is none. Who asks for them counts
  // what goes over the wire: as the table has it, so that it can be held against that.
  struct Message {
    int peer;
    ConstBytes sent;
    Bytes received;
  };
  void queue(std::span<const Message> messages) {
    const Nccl& n = nccl();
    comm_.settle(n.group_start(), "ncclGroupStart");
    for (const Message& one : messages) {
      if (!one.sent.empty())
        call(n.send(one.sent.data(), one.sent.size(), ncclInt8, one.peer, comm_.get(), stream_));
      if (!one.received.empty())
        call(n.recv(one.received.data(), one.received.size(), ncclInt8, one.peer, comm_.get(),
                    stream_));
    }
    comm_.settle(n.group_end(), "a group of messages");
  }

 private:
  [[noreturn]] static std::byte* no_peer_memory() {
    throw Error(ErrorKind::run, "over NCCL no rank sees another's memory", "");
  }
  // Within a group a call is only noted; it says if it could not be.
  void call(ncclResult_t result) {
    if (result != ncclInProgress) comm_.settle(result, "a message");
  }
  // These Links counts itself.
  void do_send(int to, ConstBytes data) override {
    const Message one{to, data, {}};
    queue({&one, 1});
  }
  void do_recv(int from, Bytes data) override {
    const Message one{from, {}, data};
    queue({&one, 1});
  }
  void do_send_recv(int to, ConstBytes sent, int from, Bytes received) override {
    const std::array<Message, 2> both{{{to, sent, {}}, {from, {}, received}}};
    queue(both);
  }

  NcclCommunicator& comm_;
  const cudaStream_t stream_;
};

// --- Sums in rank order: each rank is sent its part of all others' terms.

// Part r of what each rank has goes to rank r, which sums them, with its own, into `out`.
//   x.in: [E]   out: this rank's chunk of it, which may lie in it
void sum_own_part(NcclLinks& links, const Exchange& x, Bytes out) {
  const int rank = links.rank(), n = links.size();
  const ConstBytes mine = chunk(x.in, rank, n, x.dtype);
  const Array scratch = links.device().allocate(
      x.dtype, {n, static_cast<int64_t>(mine.size()) / size_bytes(x.dtype)});
  const Bytes inbox(static_cast<std::byte*>(scratch.data()), static_cast<size_t>(scratch.bytes()));
  std::vector<NcclLinks::Message> messages;
  std::array<const void*, kMaxRanks> terms{};
  for (int q = 0; q < n; ++q) {
    const Bytes from = inbox.subspan(static_cast<size_t>(q) * mine.size(), mine.size());
    terms[static_cast<size_t>(q)] = q == rank ? mine.data() : from.data();
    if (q != rank) messages.push_back({q, chunk(x.in, q, n, x.dtype), from});
  }
  links.count_wire(static_cast<size_t>(n - 1) * mine.size());
  links.queue(messages);
  combine(links, x, std::span(terms).first(static_cast<size_t>(n)), out);
}

// Every rank's chunk of `whole` to all others.
void gather_parts(NcclLinks& links, Bytes whole, DType dtype) {
  const int rank = links.rank(), n = links.size();
  const Bytes mine = chunk(whole, rank, n, dtype);
  std::vector<NcclLinks::Message> messages;
  for (int q = 0; q < n; ++q)
    if (q != rank) messages.push_back({q, mine, chunk(whole, q, n, dtype)});
  links.count_wire(static_cast<size_t>(n - 1) * mine.size());
  links.queue(messages);
}

class NcclTransport final : public Transport {
 public:
  NcclTransport(Agreement& agreement, Device& device, CudaRuntime& runtime, double timeout_s)
      : agreement_(agreement), device_(device), runtime_(runtime), timeout_s_(timeout_s) {}
  ~NcclTransport() override {
    runtime_.watch(this, nullptr);
    // This rank's GPU becomes the current one; what it still has to do for its peers takes no
    // longer.
    const auto stream = static_cast<cudaStream_t>(runtime_.stream());
    for (int ms = 0; comm_ && ms < 1000 && cudaStreamQuery(stream) == cudaErrorNotReady; ++ms)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    comm_.reset();
  }

  int64_t move(const Post& call, const Array& in, Array& out) override {
    static_cast<void>(runtime_.stream());
    call_ = call;
    if (!comm_) {
      if (call.op == Op::send || call.op == Op::recv)
        throw Error(ErrorKind::run,
                    "a message is the first call of a group, whose communicator is made by a "
                    "collective",
                    "call a collective of the group first: a barrier does");
      begin(call);
    }
    NcclLinks links(agreement_.rank(), agreement_.size(), device_, *comm_,
                    static_cast<cudaStream_t>(runtime_.stream()));
    const Exchange x{bytes_of(in), bytes_of(out), out.present() ? out.dtype() : in.dtype(),
                     call.reduce, call.peer};
    if (call.op == Op::send) {
      links.send(call.peer, x.in);
    } else if (call.op == Op::recv) {
      links.recv(call.peer, x.out);
    } else if (call.algorithm == Algorithm::library) {
      by_library(links, call, x);
    } else if (call.algorithm == Algorithm::direct) {
      directly(links, call, x);
    } else {
      find_algorithm(call.op, call.algorithm).run(links, x);
    }
    return links.wire_bytes();
  }

  std::unique_ptr<Transport> split(Agreement& part) override {
    return std::make_unique<NcclTransport>(part, device_, runtime_, timeout_s_);
  }

 private:
  // What each rank tells the others before NCCL is asked.
  struct Card {
    std::array<char, 16> gpu;
    int32_t version, several_allowed;
    ncclUniqueId id;  // rank 0's
  };

  void begin(const Post& call);
  void directly(NcclLinks& links, const Post& call, const Exchange& x);
  void by_library(NcclLinks& links, const Post& call, const Exchange& x);
  void check_cards(const std::vector<Card>& cards) const;

  Agreement& agreement_;
  Device& device_;
  CudaRuntime& runtime_;
  const double timeout_s_;
  std::optional<NcclCommunicator> comm_;
  Post call_;  // the last
};

std::string gpu_text(const std::array<char, 16>& uuid) {
  std::string text = "GPU-";
  for (const char byte : uuid) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

void NcclTransport::check_cards(const std::vector<Card>& cards) const {
  constexpr int kSeveralRanksOnOneGpu = 23000;
  for (size_t r = 1; r < cards.size(); ++r)
    if (cards[r].version != cards[0].version)
      fail_unavailable(
          fmt::format("rank 0 has NCCL {} and rank {} has {}", nccl_version_text(cards[0].version),
                      r, nccl_version_text(cards[r].version)),
          "install one NCCL on all hosts");
  for (size_t r = 0; r < cards.size(); ++r)
    for (size_t q = 0; q < r; ++q) {
      if (cards[q].gpu != cards[r].gpu) continue;
      const Card& card = cards[r];
      if (card.version >= kSeveralRanksOnOneGpu && card.several_allowed) continue;
      fail_unavailable(
          fmt::format("ranks {} and {} are on one GPU ({}), and NCCL {} takes one rank a GPU", q, r,
                      gpu_text(card.gpu), nccl_version_text(card.version)),
          card.version >= kSeveralRanksOnOneGpu
              ? "use --comm threads, as many GPUs as ranks, or NCCL_MULTI_RANK_GPU_ENABLE=1"
              : "use --comm threads, which has any number of ranks on a GPU, or as many GPUs as "
                "ranks");
    }
}

void NcclTransport::begin(const Post& call) {
  Card mine{};
  if (nccl().stand_in_gpu) {
    nccl().stand_in_gpu(mine.gpu.data());
  } else {
    int gpu = 0;
    cudaDeviceProp properties;
    check_cuda(cudaGetDevice(&gpu), "cudaGetDevice");
    check_cuda(cudaGetDeviceProperties(&properties, gpu), "cudaGetDeviceProperties");
    std::memcpy(mine.gpu.data(), properties.uuid.bytes, mine.gpu.size());
  }
  mine.version = nccl().version;
  const char* const several = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");  // NCCL's own
  mine.several_allowed = several && std::strcmp(several, "1") == 0;
  if (agreement_.rank() == 0 && nccl().get_unique_id(&mine.id) != ncclSuccess)
    throw Error(ErrorKind::run, fmt::format("ncclGetUniqueId: {}", nccl().last_error(nullptr)),
                "NCCL listens on a network interface: NCCL_SOCKET_IFNAME names it");
  std::string said(sizeof mine, '\0');
  std::memcpy(said.data(), &mine, sizeof mine);
  std::vector<Card> cards;
  for (const std::string& one : agreement_.gather(call, said)) {
    if (one.size() != sizeof(Card))
      throw Error(ErrorKind::run, "a rank of another build speaks", "use one build everywhere");
    std::memcpy(&cards.emplace_back(), one.data(), sizeof(Card));
  }
  check_cards(cards);
  comm_.emplace(cards[0].id, agreement_.rank(), agreement_.size(),
                fmt::format("rank {} of the {} {} ranks", agreement_.rank(), agreement_.size(),
                            name(agreement_.axis())),
                timeout_s_, [this] { agreement_.look(call_); });
  runtime_.watch(this, [this](double waited_s) { comm_->look(waited_s, call_); });
}

void NcclTransport::directly(NcclLinks& links, const Post& call, const Exchange& x) {
  const int rank = links.rank(), n = links.size();
  const auto stream = static_cast<cudaStream_t>(runtime_.stream());
  switch (call.op) {
    case Op::all_reduce:
      sum_own_part(links, x, chunk(x.out, rank, n, x.dtype));
      return gather_parts(links, x.out, x.dtype);
    case Op::reduce_scatter:
      return sum_own_part(links, x, x.out);
    case Op::all_gather:
      links.count_wire(static_cast<size_t>(n - 1) * x.in.size());
      return comm_->settle(
          nccl().all_gather(x.in.data(), x.out.data(), x.in.size(), ncclInt8, comm_->get(), stream),
          "ncclAllGather");
    case Op::broadcast:
      if (rank != x.root) links.count_wire(x.out.size());
      return comm_->settle(nccl().broadcast(x.out.data(), x.out.data(), x.out.size(), ncclInt8,
                                            x.root, comm_->get(), stream),
                           "ncclBroadcast");
    case Op::all_to_all: {
      std::vector<NcclLinks::Message> messages;
      for (int q = 0; q < n; ++q)
        if (q != rank)
          messages.push_back({q, chunk(x.in, q, n, x.dtype), chunk(x.out, q, n, x.dtype)});
      copy(links, chunk(x.in, rank, n, x.dtype), chunk(x.out, rank, n, x.dtype));
      links.count_wire(static_cast<size_t>(n - 1) * chunk(x.in, rank, n, x.dtype).size());
      return links.queue(messages);
    }
    default:
      return;
  }
}

void NcclTransport::by_library(NcclLinks& links, const Post& call, const Exchange& x) {
  const auto stream = static_cast<cudaStream_t>(runtime_.stream());
  const ncclRedOp_t reduce = x.reduce == Reduce::sum ? ncclSum : ncclMax;
  const size_t count = x.out.size() / static_cast<size_t>(size_bytes(x.dtype));
  const auto count_as_a_ring = [&] {  // NCCL does not tell what it sends
    links.count_wire(static_cast<size_t>(predicted_wire_bytes(
        call.op, Algorithm::ring, links.rank(), links.size(), call.elements, x.dtype)));
  };
  if (call.op == Op::all_reduce) {
    count_as_a_ring();
    comm_->settle(nccl().all_reduce(x.in.data(), x.out.data(), count, nccl_type(x.dtype), reduce,
                                    comm_->get(), stream),
                  "ncclAllReduce");
  } else if (call.op == Op::reduce_scatter) {
    count_as_a_ring();
    comm_->settle(nccl().reduce_scatter(x.in.data(), x.out.data(), count, nccl_type(x.dtype),
                                        reduce, comm_->get(), stream),
                  "ncclReduceScatter");
  } else {
    directly(links, call, x);
  }
}

}  // namespace

std::unique_ptr<Transport> make_nccl_transport(Agreement& agreement, Device& device,
                                               CudaRuntime& runtime, double timeout_s) {
  check_nccl();
  return std::make_unique<NcclTransport>(agreement, device, runtime, timeout_s);
}

}  // namespace tplab
