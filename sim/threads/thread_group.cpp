#include "sim/threads/thread_group.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>

namespace tplab {

ThreadGroup::ThreadGroup(std::shared_ptr<Board> board, std::vector<int> members, Axis axis)
    : board_(std::move(board)),
      members_(std::move(members)),
      axis_(axis),
      seats_(members_.size()),
      mailboxes_(members_.size() * members_.size()) {
  for (int rank : members_) member_set_ |= rank_set(rank);
  name_ = board_->mesh().group_name(members_, axis);
}

int ThreadGroup::rank_of(int world_rank) const {
  return static_cast<int>(std::find(members_.begin(), members_.end(), world_rank) -
                          members_.begin());
}

void ThreadGroup::rendezvous(int rank, uint64_t round, const Post& post, bool releasable) {
  const uint64_t all_here = round * static_cast<uint64_t>(size());
  uint64_t arrived = arrivals_.fetch_add(1) + 1;
  if (arrived == all_here) return board_->wake(member_set_);
  try {
    board_->wait(world_rank(rank), {arrivals_, all_here, member_set_, post, name_, releasable});
  } catch (...) {
    // Leave as if never come, so that the others do not go on without this rank. If all have come
    // in the meantime they go on with it.
    arrived = arrivals_;
    while (arrived < all_here && !arrivals_.compare_exchange_weak(arrived, arrived - 1)) {
    }
    if (arrived < all_here) throw;
  }
}

void ThreadGroup::agree(int rank, uint64_t round, uint64_t call, const Post& post) {
  board_->count_collective(world_rank(rank));
  board_->throw_if_failed();
  seats_[static_cast<size_t>(rank)].posts[call % 2] =
      post;  // outlives the call, and so its callers' places
  seats_[static_cast<size_t>(rank)].posts[call % 2].where.caller = nullptr;
  rendezvous(rank, round, post, true);
  for (int peer = 0; peer < size(); ++peer) {
    if (!agrees(post, post_of(peer, call))) fail_disagreement(call);
  }
}

// Every rank of the group comes here and finds the same words.
void ThreadGroup::fail_disagreement(uint64_t call) {
  std::vector<Caller> callers;
  callers.reserve(members_.size());
  for (int rank = 0; rank < size(); ++rank)
    callers.push_back({board_->name_of(world_rank(rank)), post_of(rank, call)});
  const Error error = disagreement(callers, name_);
  board_->fail(error.problem(), error.fix());
}

ThreadGroup::Message::Message(ThreadGroup& group, int from, int to, std::span<const std::byte> data,
                              const Post& post, Device& device)
    : group_(group), from_(from), to_(to), post_(post), device_(device) {
  group.board_->throw_if_failed();
  Mailbox& mailbox = group.mailbox(from, to);
  idle_ = mailbox.state;
  mailbox.data = data;
  mailbox.post = post;
  mailbox.sent = device.record();
  mailbox.state = idle_ + 1;
  group.board_->wake(rank_set(group.world_rank(to)));
}

void ThreadGroup::Message::wait_until_copied() {
  group_.board_->wait(group_.world_rank(from_),
                      {group_.mailbox(from_, to_).state, idle_ + 3,
                       rank_set(group_.world_rank(to_)), post_, group_.name_});
  delivered_ = true;
  device_.wait_for(group_.mailbox(from_, to_).copied);
}

ThreadGroup::Message::~Message() {
  if (delivered_) return;
  std::atomic<uint64_t>& state = group_.mailbox(from_, to_).state;
  uint64_t waiting = idle_ + 1;
  while (!state.compare_exchange_weak(waiting, idle_)) {
    if (waiting == idle_ + 3) return;
    waiting = idle_ + 1;  // being copied; that does not take long
    sched_yield();
  }
}

void ThreadGroup::receive(int rank, int from, std::span<std::byte> to, const Post& post,
                          Device& device) {
  Mailbox& mailbox = this->mailbox(from, rank);
  const uint64_t idle = mailbox.state / 3 * 3;
  const RankSet sender = rank_set(world_rank(from));
  uint64_t waiting = idle + 1;
  board_->wait(world_rank(rank), {mailbox.state, waiting, sender, post, name_});
  if (!mailbox.state.compare_exchange_strong(waiting, idle + 2)) {
    board_->throw_if_failed();  // taken back: the sender has failed
  }
  if (mailbox.data.size() != to.size() || mailbox.post.dtype != post.dtype) {
    const Post sent = mailbox.post;
    mailbox.state = idle + 1;
    fail_message(from, sent, rank, post);
  }
  device.wait_for(mailbox.sent);
  device.copy(mailbox.data.data(), to.data(), static_cast<int64_t>(to.size()));
  mailbox.copied = device.record();
  mailbox.state = idle + 3;
  board_->wake(sender);
}

void ThreadGroup::fail_message(int from, const Post& sent, int to, const Post& expected) {
  const Error error = other_message({board_->name_of(world_rank(from)), sent},
                                    {board_->name_of(world_rank(to)), expected}, name_);
  board_->fail(error.problem(), error.fix());
}

std::vector<int> ThreadGroup::ranks_of_color(int color) const {
  std::vector<int> ranks;
  for (int rank = 0; rank < size(); ++rank) {
    if (seat(rank).part.color == color) ranks.push_back(rank);
  }
  std::stable_sort(ranks.begin(), ranks.end(),
                   [&](int a, int b) { return seat(a).part.key < seat(b).part.key; });
  return ranks;
}

std::shared_ptr<ThreadGroup> ThreadGroup::make_part(const std::vector<int>& ranks) const {
  std::vector<int> members;
  members.reserve(ranks.size());
  for (int rank : ranks) members.push_back(world_rank(rank));
  return std::make_shared<ThreadGroup>(board_, std::move(members), axis_);
}

}  // namespace tplab
