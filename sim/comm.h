// The communication seam: public collectives that check, log and then call a backend's virtuals.
//
// Every rank of a group makes the same calls in the same order, as under MPI or NCCL. Here a call
// that differs is an error on every rank, which lists what each rank was doing, never a hang and
// never a wrong sum. A group of one communicates nothing and records nothing.
//
// Threads: a Comm belongs to one rank and is used by that rank's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sim/array.h"
#include "sim/ledger.h"

namespace tplab {

class Rank;

enum class Reduce { sum, max };

// What one rank asks for in one call. All posts of a call must agree in every field.
struct Post {
  uint64_t sequence = 0;  // how many calls this group has made before
  Op op = Op::barrier;
  Phase phase = Phase::forward;
  const Site* site = nullptr;  // compared by path
  int64_t elements = 0;
  DType dtype = DType::f32;
  Reduce reduce = Reduce::sum;
  Algorithm algorithm = Algorithm::direct;
  int peer = -1;             // a broadcast's root; who a send is to, a recv from
  const void* in = nullptr;  // this rank's numbers and where the result goes, for a backend that
  void* out = nullptr;       // reads its peers' memory; not compared
  std::string text() const;  // "all_reduce #12 of 4096 f32 at block 3/attn"
};

bool agrees(const Post& a, const Post& b);
// The names of the fields in which two posts differ: op, elements. None if they agree.
std::vector<std::string_view> differences(const Post& a, const Post& b);

class Comm {
 public:
  virtual ~Comm() = default;

  int rank() const { return rank_; }  // within this group
  int size() const { return size_; }
  Algorithm algorithm() const { return algorithm_; }
  Axis axis() const { return axis_; }  // a split group's is that of the group it was part of

  // x = the sum (or maximum) over the ranks, with identical bits on every rank. In place.
  //   a ring or direct sends 2 (n-1)/n * bytes a rank (nccl-tests, PERFORMANCE.md)
  void all_reduce(Array& x, Reduce reduce = Reduce::sum);

  // whole = every rank's shard, in rank order.   shard: [k]   whole: [n k]
  //   shard may be this rank's part of whole (as under NCCL): whole is then filled around it
  //   sends (n-1)/n * whole bytes a rank
  void all_gather(const Array& shard, Array& whole);

  // shard = this rank's part of the sum over the ranks of whole.   whole: [n k]   shard: [k]
  //   shard may be this rank's part of whole, which is overwritten
  //   sends (n-1)/n * whole bytes a rank
  void reduce_scatter(const Array& whole, Array& shard);

  void broadcast(Array& x, int root);

  // Part r of `in` goes to rank r; part r of `out` comes from rank r.   in, out: [n k]
  void all_to_all(const Array& in, Array& out);

  void barrier();

  // Point to point; send returns when the receiver has the data. Sizes and dtypes must agree.
  void send(const Array& x, int to);
  void recv(Array& x, int from);

  // Collective. Ranks of equal color form a new group, ordered by (key, rank). A rank of negative
  // color joins none and gets null.
  std::unique_ptr<Comm> split(int color, int key);

 protected:
  Comm(Rank& owner, int rank, int size, Algorithm algorithm, Axis axis);
  Rank& owner() { return owner_; }
  const Post& current() const { return current_; }  // the call being made

 private:
  Post make_post(Op op, int64_t elements, DType dtype) const;
  // Agrees with the other ranks, moves the data and records the event. in, out: for a recorder.
  template <class Move>
  void call(const Post& post, const Array& in, const Array& out, Move move);

  // Returns once every rank of the group has posted the same; throws Error(run) on every rank if
  // they differ, or if one left, failed or waits for ever elsewhere.
  virtual void agree(const Post& post) = 0;

  // What moves the data, once the ranks agree. Each returns the bytes this rank sent to others.
  virtual int64_t do_all_reduce(Array& x, Reduce reduce) = 0;
  virtual int64_t do_all_gather(const Array& shard, Array& whole) = 0;
  virtual int64_t do_reduce_scatter(const Array& whole, Array& shard) = 0;
  virtual int64_t do_broadcast(Array& x, int root) = 0;
  virtual int64_t do_all_to_all(const Array& in, Array& out) = 0;
  virtual int64_t do_send(const Array& x, int to) = 0;
  virtual int64_t do_recv(Array& x, int from) = 0;
  virtual std::unique_ptr<Comm> do_split(int color, int key) = 0;

  Rank& owner_;
  int rank_, size_;
  Algorithm algorithm_;
  Axis axis_;
  uint64_t sequence_ = 0;
  Post current_;
};

}  // namespace tplab
