#include "sim/threads/threads_comm.h"

#include "sim/rank.h"

namespace tplab {
namespace {

ConstBytes bytes_of(const Array& x) {
  return {static_cast<const std::byte*>(x.data()), static_cast<size_t>(x.bytes())};
}

Bytes bytes_of(Array& x) {
  return {static_cast<std::byte*>(x.data()), static_cast<size_t>(x.bytes())};
}

}  // namespace

// This rank's links during one call.
class ThreadsComm::ThreadLinks : public Links {
 public:
  explicit ThreadLinks(ThreadsComm& comm)
      : Links(comm.rank(), comm.size(), comm.owner().device()), comm_(comm) {}

  void rendezvous() override { comm_.rendezvous(/*releasable=*/false); }
  const std::byte* peer_in(int peer) const override {
    return static_cast<const std::byte*>(comm_.group_->post_of(peer, comm_.calls_).in);
  }
  std::byte* peer_out(int peer) const override {
    return static_cast<std::byte*>(comm_.group_->post_of(peer, comm_.calls_).out);
  }

 private:
  void do_send_recv(int to, ConstBytes sent, int from, Bytes received) override {
    ThreadGroup::Message message(*comm_.group_, rank(), to, sent, comm_.current());
    comm_.group_->receive(rank(), from, received, comm_.current(), device());
    message.wait_until_copied();
  }
  void do_send(int to, ConstBytes sent) override {
    ThreadGroup::Message(*comm_.group_, rank(), to, sent, comm_.current()).wait_until_copied();
  }
  void do_recv(int from, Bytes received) override {
    comm_.group_->receive(rank(), from, received, comm_.current(), device());
  }

  ThreadsComm& comm_;
};

ThreadsComm::ThreadsComm(std::shared_ptr<ThreadGroup> group, Rank& owner, Algorithm algorithm)
    : Comm(owner, group->rank_of(owner.global_index()), group->size(), algorithm, group->axis()),
      group_(std::move(group)) {}

void ThreadsComm::agree(const Post& post) { group_->agree(rank(), ++rounds_, ++calls_, post); }

void ThreadsComm::rendezvous(bool releasable) {
  group_->rendezvous(rank(), ++rounds_, current(), releasable);
}

int64_t ThreadsComm::exchange(Op op, const Array& in, Array& out, Reduce reduce, int root) {
  ThreadLinks links(*this);
  find_algorithm(op, algorithm())
      .run(links, {bytes_of(in), bytes_of(out), in.dtype(), reduce, root});
  return links.wire_bytes();
}

int64_t ThreadsComm::do_all_reduce(Array& x, Reduce reduce) {
  return exchange(Op::all_reduce, x, x, reduce, 0);
}

int64_t ThreadsComm::do_all_gather(const Array& shard, Array& whole) {
  return exchange(Op::all_gather, shard, whole, Reduce::sum, 0);
}

int64_t ThreadsComm::do_reduce_scatter(const Array& whole, Array& shard) {
  return exchange(Op::reduce_scatter, whole, shard, Reduce::sum, 0);
}

int64_t ThreadsComm::do_broadcast(Array& x, int root) {
  return exchange(Op::broadcast, x, x, Reduce::sum, root);
}

int64_t ThreadsComm::do_all_to_all(const Array& in, Array& out) {
  return exchange(Op::all_to_all, in, out, Reduce::sum, 0);
}

int64_t ThreadsComm::do_send(const Array& x, int to) {
  ThreadLinks links(*this);
  links.send(to, bytes_of(x));
  return links.wire_bytes();
}

int64_t ThreadsComm::do_recv(Array& x, int from) {
  ThreadLinks links(*this);
  links.recv(from, bytes_of(x));
  return links.wire_bytes();
}

std::unique_ptr<Comm> ThreadsComm::do_split(int color, int key) {
  ThreadGroup::Part& mine = group_->part(rank());
  mine.color = color;
  mine.key = key;
  rendezvous(true);  // every rank has written its part
  const std::vector<int> ranks = group_->ranks_of_color(color);
  const bool leads = color >= 0 && ranks.front() == rank();
  if (leads) mine.group = group_->make_part(ranks);
  rendezvous(true);  // every leader has made its group
  std::shared_ptr<ThreadGroup> group;
  if (color >= 0) group = group_->part(ranks.front()).group;
  rendezvous(true);  // every rank has taken its group
  mine.group = nullptr;
  if (!group) return nullptr;
  return std::make_unique<ThreadsComm>(std::move(group), owner(), algorithm());
}

std::unique_ptr<Comm> make_threads_comm(std::shared_ptr<ThreadGroup> group, Rank& owner,
                                        Algorithm algorithm) {
  return std::make_unique<ThreadsComm>(std::move(group), owner, algorithm);
}

}  // namespace tplab
