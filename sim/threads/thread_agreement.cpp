#include "sim/threads/thread_agreement.h"

namespace tplab {

ThreadAgreement::ThreadAgreement(std::shared_ptr<ThreadGroup> group, int rank, Device& device)
    : Agreement(rank, group->size(), group->axis()), group_(std::move(group)), device_(device) {}

void ThreadAgreement::agree(const Post& call) {
  ++calls_;
  group_->moments(rank(), calls_).posted = device_.record();
  group_->agree(rank(), ++rounds_, calls_, call);
}

void ThreadAgreement::wait_for_inputs() {
  if (!group_->moments(rank(), calls_).posted) return;  // nobody's device is late
  for (int peer = 0; peer < size(); ++peer)
    if (peer != rank()) device_.wait_for(group_->moments(peer, calls_).posted);
}

void ThreadAgreement::meet_when_done(const Post& call) {
  std::shared_ptr<void>& mine = group_->moments(rank(), calls_).done;
  mine = device_.record();
  meet(call, /*releasable=*/false);
  if (!mine) return;
  for (int peer = 0; peer < size(); ++peer)
    if (peer != rank()) device_.wait_for(group_->moments(peer, calls_).done);
}

void ThreadAgreement::meet(const Post& call, bool releasable) {
  group_->rendezvous(rank(), ++rounds_, call, releasable);
}

std::vector<std::string> ThreadAgreement::gather(const Post& call, const std::string& mine) {
  group_->said(rank()) = mine;
  meet(call, true);  // every rank has spoken
  std::vector<std::string> all;
  all.reserve(static_cast<size_t>(size()));
  for (int peer = 0; peer < size(); ++peer) all.push_back(group_->said(peer));
  meet(call, true);  // and heard
  return all;
}

std::unique_ptr<Agreement> ThreadAgreement::split(const Post& call, int color, int key) {
  ThreadGroup::Part& mine = group_->part(rank());
  mine.color = color;
  mine.key = key;
  meet(call, true);  // every rank has written its part
  const std::vector<int> ranks = group_->ranks_of_color(color);
  const bool leads = color >= 0 && ranks.front() == rank();
  if (leads) mine.group = group_->make_part(ranks);
  meet(call, true);  // every leader has made its group
  std::shared_ptr<ThreadGroup> group;
  if (color >= 0) group = group_->part(ranks.front()).group;
  meet(call, true);  // every rank has taken its group
  mine.group = nullptr;
  if (!group) return nullptr;
  const int place = group->rank_of(group_->world_rank(rank()));
  return std::make_unique<ThreadAgreement>(std::move(group), place, device_);
}

}  // namespace tplab
