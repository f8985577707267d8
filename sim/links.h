// What a collective algorithm may use: this rank's lines to its peers, and its device's arithmetic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sim/device.h"
#include "sim/post.h"

namespace tplab {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;
inline ConstBytes bytes_of(const Array& x) {
  return {static_cast<const std::byte*>(x.data()), static_cast<size_t>(x.bytes())};
}
inline Bytes bytes_of(Array& x) {
  return {static_cast<std::byte*>(x.data()), static_cast<size_t>(x.bytes())};
}

// One rank's part of one collective. `in` is what it contributes, `out` what it shall hold
// afterwards; for all_reduce and broadcast they are the same memory.
struct Exchange {
  ConstBytes in;
  Bytes out;
  DType dtype;
  Reduce reduce;
  int root;
};

// Chunk c of n, in nearly equal parts of whole elements; c counts round the ring, so that -1 is the
// last. With 10 elements and n = 4 the chunks have 2, 3, 2 and 3.
constexpr int on_ring(int c, int n) { return (c % n + n) % n; }
constexpr int64_t chunk_begin(int c, int n, int64_t elements) { return elements * c / n; }
constexpr int64_t chunk_size(int c, int n, int64_t elements) {
  c = on_ring(c, n);
  return chunk_begin(c + 1, n, elements) - chunk_begin(c, n, elements);
}
template <class Byte>
std::span<Byte> chunk(std::span<Byte> whole, int c, int n, DType dtype) {
  const int64_t size = size_bytes(dtype), elements = static_cast<int64_t>(whole.size()) / size;
  c = on_ring(c, n);
  return whole.subspan(static_cast<size_t>(chunk_begin(c, n, elements) * size),
                       static_cast<size_t>(chunk_size(c, n, elements) * size));
}

// A transport derives from this; the base counts the bytes on the wire where they are moved.
class Links {
 public:
  Links(int rank, int size, Device& device) : rank_(rank), size_(size), device_(device) {}
  virtual ~Links() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  Device& device() { return device_; }
  int64_t wire_bytes() const { return wire_bytes_; }

  // --- Messages. Each returns when the data has arrived, so that its memory may be used again.

  void send(int to, ConstBytes data) {
    count_wire(data.size());
    do_send(to, data);
  }
  void recv(int from, Bytes data) { do_recv(from, data); }
  // Both at once, as a ring needs: if every rank sent first, none would ever receive.
  void send_recv(int to, ConstBytes sent, int from, Bytes received) {
    count_wire(sent.size());
    do_send_recv(to, sent, from, received);
  }

  // --- In place of peer access, where there is none: as the above, but the receiver counts, as the
  // reader of a peer's memory does.

  void give(int to, ConstBytes data) { do_send(to, data); }
  void take(int from, Bytes data) {
    count_wire(data.size());
    do_recv(from, data);
  }
  void trade(int to, ConstBytes given, int from, Bytes taken) {
    count_wire(taken.size());
    do_send_recv(to, given, from, taken);
  }

  // --- Peer access: a peer's `in` and `out`, valid until the next rendezvous. Whoever moves bytes
  // between ranks, in either direction, counts them.

  virtual bool peer_access() const { return true; }  // false: ranks see no memory but their own
  virtual const std::byte* peer_in(int /*peer*/) const { return nullptr; }
  virtual std::byte* peer_out(int /*peer*/) const { return nullptr; }
  virtual void rendezvous() = 0;  // returns when every rank of the group has come to it
  void count_wire(size_t bytes) { wire_bytes_ += static_cast<int64_t>(bytes); }
  // The same, saying whose bytes go where: one of the two is this rank.
  void count_access(int from, int to, ConstBytes data) {
    count_wire(data.size());
    accessed(from, to, data);
  }

 private:
  virtual void accessed(int /*from*/, int /*to*/, ConstBytes /*data*/) {}  // for a picture
  virtual void do_send(int to, ConstBytes data) = 0;
  virtual void do_recv(int from, Bytes data) = 0;
  virtual void do_send_recv(int to, ConstBytes sent, int from, Bytes received) = 0;

  int rank_, size_;
  Device& device_;
  int64_t wire_bytes_ = 0;
};

// out = the sum (or maximum) of the terms, in their order.
inline void combine(Links& links, const Exchange& x, std::span<const void* const> terms,
                    Bytes out) {
  const int64_t count = static_cast<int64_t>(out.size()) / size_bytes(x.dtype);
  if (x.reduce == Reduce::sum) {
    links.device().sum(terms, out.data(), x.dtype, count);
  } else {
    links.device().max(terms, out.data(), x.dtype, count);
  }
}

// The same into each of `outs`, of `bytes` each.
inline void combine_to_all(Links& links, const Exchange& x, std::span<const void* const> terms,
                           std::span<void* const> outs, size_t bytes) {
  const int64_t count = static_cast<int64_t>(bytes) / size_bytes(x.dtype);
  if (x.reduce == Reduce::sum) {
    links.device().sum_to_all(terms, outs, x.dtype, count);
  } else {
    links.device().max_to_all(terms, outs, x.dtype, count);
  }
}

inline void copy(Links& links, ConstBytes from, Bytes to) {
  links.device().copy(from.data(), to.data(), static_cast<int64_t>(from.size()));
}

}  // namespace tplab
