// Communication between ranks that are threads of one process and see each other's memory.
#pragma once

#include <memory>
#include <vector>

#include "sim/algorithms.h"
#include "sim/comm.h"
#include "sim/threads/thread_group.h"

namespace tplab {

// Not final: a test derives from it, overrides one virtual to drop or corrupt that collective, and
// has WorldOptions::make_comm make it. Call ThreadsComm's own version for the honest result.
class ThreadsComm : public Comm {
 public:
  ThreadsComm(std::shared_ptr<ThreadGroup> group, Rank& owner, Algorithm algorithm);

 protected:
  void agree(const Post& post) override;
  int64_t do_all_reduce(Array& x, Reduce reduce) override;
  int64_t do_all_gather(const Array& shard, Array& whole) override;
  int64_t do_reduce_scatter(const Array& whole, Array& shard) override;
  int64_t do_broadcast(Array& x, int root) override;
  int64_t do_all_to_all(const Array& in, Array& out) override;
  int64_t do_send(const Array& x, int to) override;
  int64_t do_recv(Array& x, int from) override;
  // Groups made by a split are plain ThreadsComms, whatever this one is.
  std::unique_ptr<Comm> do_split(int color, int key) override;

 private:
  class ThreadLinks;
  int64_t exchange(Op op, const Array& in, Array& out, Reduce reduce, int root);
  void rendezvous(bool releasable);

  std::shared_ptr<ThreadGroup> group_;
  uint64_t rounds_ = 0;  // rendezvous so far
  uint64_t calls_ = 0;   // agreements so far
};

std::unique_ptr<Comm> make_threads_comm(std::shared_ptr<ThreadGroup> group, Rank& owner,
                                        Algorithm algorithm);

}  // namespace tplab
