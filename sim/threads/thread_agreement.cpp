#include "sim/threads/thread_agreement.h"

namespace tplab {

ThreadAgreement::ThreadAgreement(std::shared_ptr<ThreadGroup> group, int rank)
    : Agreement(rank, group->size(), group->axis()), group_(std::move(group)) {}

void ThreadAgreement::agree(const Post& call) { group_->agree(rank(), ++rounds_, ++calls_, call); }

void ThreadAgreement::meet(const Post& call, bool releasable) {
  group_->rendezvous(rank(), ++rounds_, call, releasable);
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
  return std::make_unique<ThreadAgreement>(std::move(group), place);
}

}  // namespace tplab
