// The public collectives: each checks its arguments, agrees with the other ranks, moves the numbers
// and records what that took. How ranks agree and what moves numbers are two seams below.
//
// Every rank of a group makes the same calls in the same order, as under MPI or NCCL. Here a call
// that differs is an error on every rank, which lists what each rank was doing, never a hang and
// never a wrong sum. A group of one communicates nothing and records nothing. `where`, the call's
// place in the source, is for the run's recorder.
//
// Threads: a Comm belongs to one rank and is used by that rank's thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "sim/agreement.h"
#include "sim/array.h"
#include "sim/post.h"
#include "sim/transport.h"

namespace tplab {

class Rank;

class Comm {
 public:
  Comm(Rank& owner, Algorithm algorithm, std::unique_ptr<Agreement> agreement,
       std::unique_ptr<Transport> transport);

  int rank() const { return agreement_->rank(); }  // within this group
  int size() const { return agreement_->size(); }
  Algorithm algorithm() const { return algorithm_; }
  Axis axis() const { return agreement_->axis(); }

  // x = the sum (or maximum) over the ranks, with identical bits on every rank. In place.
  //   a ring or direct sends 2 (n-1)/n * bytes a rank (nccl-tests, PERFORMANCE.md)
  void all_reduce(Array& x, Reduce reduce = Reduce::sum, CallSite where = here());

  // whole = every rank's shard, in rank order.   shard: [k]   whole: [n k]
  //   shard may be this rank's part of whole (as under NCCL): whole is then filled around it
  //   sends (n-1)/n * whole bytes a rank
  void all_gather(const Array& shard, Array& whole, CallSite where = here());

  // shard = this rank's part of the sum over the ranks of whole.   whole: [n k]   shard: [k]
  //   shard may be this rank's part of whole, which is overwritten
  //   sends (n-1)/n * whole bytes a rank
  void reduce_scatter(const Array& whole, Array& shard, CallSite where = here());

  void broadcast(Array& x, int root, CallSite where = here());

  // Part r of `in` goes to rank r; part r of `out` comes from rank r.   in, out: [n k]
  void all_to_all(const Array& in, Array& out, CallSite where = here());

  // Returns when every rank has come, and what it gave its device to do is done.
  void barrier(CallSite where = here());

  // Point to point; send returns when the receiver has the data. Sizes and dtypes must agree.
  void send(const Array& x, int to, CallSite where = here());
  void recv(Array& x, int from, CallSite where = here());

  // Collective. Ranks of equal color form a new group, ordered by (key, rank). A rank of negative
  // color joins none and gets null.
  std::unique_ptr<Comm> split(int color, int key, CallSite where = here());

 private:
  Post make_post(Op op, int64_t elements, DType dtype, CallSite where) const;
  // Agrees with the other ranks, moves the data and records the event. in, out: for a recorder.
  template <class Move>
  void call(const Post& post, const Array& in, const Array& out, Move move);

  Rank& owner_;
  Algorithm algorithm_;
  std::unique_ptr<Agreement> agreement_;
  std::unique_ptr<Transport> transport_;  // may refer to agreement_
  uint64_t sequence_ = 0;
};

}  // namespace tplab
