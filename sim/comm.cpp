#include "sim/comm.h"

#include <fmt/format.h>

#include <functional>

#include "sim/error.h"
#include "sim/machine/rank.h"

namespace tplab {
namespace {

std::string size_text(const Array& x) {
  return fmt::format("{} {} {}", x.count(), name(x.dtype()), x.shape().text());
}

// "all_gather at block 3/attn"
std::string call_text(Op op, const Site* site) {
  const std::string path = site->path();
  return path.empty() ? std::string(name(op)) : fmt::format("{} at {}", name(op), path);
}

void check_present(Op op, const Site* site, const Array& x) {
  if (x.present() || x.count() == 0) return;
  fail(fmt::format("{}: the array {} has no memory", call_text(op, site), size_text(x)),
       "allocate it on the rank's device first");
}

// whole: [n k]   part: [k]
void check_parts(Op op, const Site* site, const Array& whole, const Array& part, int n) {
  check_present(op, site, whole);
  check_present(op, site, part);
  if (whole.dtype() == part.dtype() && whole.count() == n * part.count()) return;
  fail(fmt::format("{}: the whole is {}, a part is {}, and there are {} ranks", call_text(op, site),
                   size_text(whole), size_text(part), n),
       fmt::format("make the whole {} times the part, of one dtype", n));
}

bool overlap(const Array& a, const Array& b) {
  const auto* const a_begin = static_cast<const char*>(a.data());
  const auto* const b_begin = static_cast<const char*>(b.data());
  const std::less<const char*> less;  // unlike <, also between unrelated arrays
  return a.bytes() > 0 && b.bytes() > 0 && less(a_begin, b_begin + b.bytes()) &&
         less(b_begin, a_begin + a.bytes());
}

void check_distinct(Op op, const Site* site, const Array& in, const Array& out) {
  if (!overlap(in, out)) return;
  fail(fmt::format("{}: input and output share memory", call_text(op, site)),
       "give the result an array of its own");
}

// A part may be a view of the whole, but only of the place that this rank's part has there.
void check_part_of(Op op, const Site* site, const Array& whole, const Array& part, int rank) {
  if (!overlap(whole, part)) return;
  if (part.data() == static_cast<const char*>(whole.data()) + rank * part.bytes()) return;
  fail(fmt::format("{}: the part shares memory with another rank's part of the whole",
                   call_text(op, site)),
       fmt::format("use part {} of the whole, or an array of its own", rank));
}

void check_peer(Op op, const Site* site, int peer, int rank, int n) {
  if (peer >= 0 && peer < n && peer != rank) return;
  fail(fmt::format("{}: rank {} of {} names rank {} as its peer", call_text(op, site), rank, n,
                   peer),
       "name another rank of the group");
}

}  // namespace

Comm::Comm(Rank& owner, Algorithm algorithm, std::unique_ptr<Agreement> agreement,
           std::unique_ptr<Transport> transport)
    : owner_(owner),
      algorithm_(algorithm),
      agreement_(std::move(agreement)),
      transport_(std::move(transport)) {}

Post Comm::make_post(Op op, int64_t elements, DType dtype, CallSite where) const {
  Post post;
  post.sequence = sequence_;
  post.op = op;
  post.phase = owner_.phase();
  post.site = owner_.site();
  post.elements = elements;
  post.dtype = dtype;
  post.algorithm = algorithm_;
  post.axis = axis();
  post.where = where;
  return post;
}

template <class Move>
void Comm::call(const Post& post, const Array& in, const Array& out, Move move) {
  Recorder* const recorder = owner_.recorder();
  if (recorder) recorder->before(post, in);
  Event event;
  event.start_ns = event.agreed_ns = owner_.clock().now_ns();
  if (post.op != Op::send && post.op != Op::recv) {
    ++sequence_;
    agreement_->agree(post);
    event.agreed_ns = owner_.clock().now_ns();
  }
  event.wire_bytes = move();
  event.site = post.site;
  event.phase = post.phase;
  event.axis = post.axis;
  event.op = post.op;
  event.algorithm = post.algorithm;
  event.dtype = post.dtype;
  event.group_size = size();
  event.elements = post.elements;
  event.payload_bytes = post.elements * size_bytes(post.dtype);
  event.end_ns = owner_.clock().now_ns();
  owner_.ledger().record(event);
  if (recorder) recorder->after(event, out);
}

void Comm::all_reduce(Array& x, Reduce reduce, CallSite where) {
  check_present(Op::all_reduce, owner_.site(), x);
  if (size() == 1) return;
  Post post = make_post(Op::all_reduce, x.count(), x.dtype(), where);
  post.reduce = reduce;
  post.in = post.out = x.data();
  call(post, x, x, [&] { return transport_->move(post, x, x); });
}

void Comm::all_gather(const Array& shard, Array& whole, CallSite where) {
  check_parts(Op::all_gather, owner_.site(), whole, shard, size());
  check_part_of(Op::all_gather, owner_.site(), whole, shard, rank());
  if (size() == 1) return owner_.device().copy(shard.data(), whole.data(), whole.bytes());
  Post post = make_post(Op::all_gather, whole.count(), whole.dtype(), where);
  post.in = shard.data();
  post.out = whole.data();
  call(post, shard, whole, [&] { return transport_->move(post, shard, whole); });
}

void Comm::reduce_scatter(const Array& whole, Array& shard, CallSite where) {
  check_parts(Op::reduce_scatter, owner_.site(), whole, shard, size());
  check_part_of(Op::reduce_scatter, owner_.site(), whole, shard, rank());
  if (size() == 1) return owner_.device().copy(whole.data(), shard.data(), whole.bytes());
  Post post = make_post(Op::reduce_scatter, whole.count(), whole.dtype(), where);
  post.in = whole.data();
  post.out = shard.data();
  call(post, whole, shard, [&] { return transport_->move(post, whole, shard); });
}

void Comm::broadcast(Array& x, int root, CallSite where) {
  check_present(Op::broadcast, owner_.site(), x);
  if (root < 0 || root >= size()) {
    fail(fmt::format("{}: root {} is not one of the {} ranks",
                     call_text(Op::broadcast, owner_.site()), root, size()),
         fmt::format("use a root from 0 to {}", size() - 1));
  }
  if (size() == 1) return;
  Post post = make_post(Op::broadcast, x.count(), x.dtype(), where);
  post.peer = root;
  post.in = post.out = x.data();
  call(post, x, x, [&] { return transport_->move(post, x, x); });
}

void Comm::all_to_all(const Array& in, Array& out, CallSite where) {
  check_parts(Op::all_to_all, owner_.site(), in, out, 1);
  if (in.count() % size() != 0) {
    fail(fmt::format("{}: {} does not divide by {} ranks", call_text(Op::all_to_all, owner_.site()),
                     size_text(in), size()),
         fmt::format("use a multiple of {} elements", size()));
  }
  if (size() == 1) return owner_.device().copy(in.data(), out.data(), in.bytes());
  check_distinct(Op::all_to_all, owner_.site(), in, out);
  Post post = make_post(Op::all_to_all, in.count(), in.dtype(), where);
  post.in = in.data();
  post.out = out.data();
  call(post, in, out, [&] { return transport_->move(post, in, out); });
}

void Comm::barrier(CallSite where) {
  owner_.device().wait();
  if (size() == 1) return;
  call(make_post(Op::barrier, 0, DType::f32, where), {}, {}, [] { return int64_t{0}; });
}

void Comm::send(const Array& x, int to, CallSite where) {
  check_present(Op::send, owner_.site(), x);
  check_peer(Op::send, owner_.site(), to, rank(), size());
  Post post = make_post(Op::send, x.count(), x.dtype(), where);
  post.peer = to;
  post.in = x.data();
  Array none;
  call(post, x, x, [&] { return transport_->move(post, x, none); });
}

void Comm::recv(Array& x, int from, CallSite where) {
  check_present(Op::recv, owner_.site(), x);
  check_peer(Op::recv, owner_.site(), from, rank(), size());
  Post post = make_post(Op::recv, x.count(), x.dtype(), where);
  post.peer = from;
  post.out = x.data();
  call(post, x, x, [&] { return transport_->move(post, {}, x); });
}

std::unique_ptr<Comm> Comm::split(int color, int key, CallSite where) {
  const Post post = make_post(Op::split, 0, DType::f32, where);
  std::unique_ptr<Agreement> part;
  const auto take_part = [&] {
    part = agreement_->split(post, color, key);
    return int64_t{0};
  };
  if (size() == 1) {
    take_part();
  } else {
    call(post, {}, {}, take_part);
  }
  if (!part) return nullptr;
  auto transport = transport_->split(*part);
  return std::make_unique<Comm>(owner_, algorithm_, std::move(part), std::move(transport));
}

}  // namespace tplab
