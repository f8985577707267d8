// What the ranks of a group share: a rendezvous, a seat for each rank's post, and a mailbox for
// each ordered pair of ranks.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sim/threads/board.h"

namespace tplab {

// Threads: every member may be called by all ranks of the group at once. A `rank` is a rank of
// this group unless it says `world`. It lives as long as an agreement of its ranks.
class ThreadGroup {
 public:
  // `members`: the world ranks, in the order of their ranks here. `axis`: of the mesh, along which
  // they lie.
  ThreadGroup(std::shared_ptr<Board> board, std::vector<int> members, Axis axis);

  int size() const { return static_cast<int>(members_.size()); }
  Axis axis() const { return axis_; }
  Board& board() { return *board_; }
  int world_rank(int rank) const { return members_[static_cast<size_t>(rank)]; }
  int rank_of(int world_rank) const;

  // --- The rendezvous: nobody returns from round k before all have come to it.

  // Rank's k-th call passes k = 1, 2, ... `post` is what the rank is doing, for error messages.
  void rendezvous(int rank, uint64_t round, const Post& post, bool releasable);

  // The same, showing `post` to the others and theirs to this rank; throws Error(run) on every rank
  // if they differ. Two copies are kept, in turn: a rank may be one call ahead of a reader.
  void agree(int rank, uint64_t round, uint64_t call, const Post& post);
  const Post& post_of(int rank, uint64_t call) const { return seat(rank).posts[call % 2]; }

  // Of devices that may still be at work when a rank calls (Device::record); null for others. Kept
  // as long as the post. A rank's own are written by itself, before its peers come to read them.
  struct Moments {
    std::shared_ptr<void> posted, done;
  };
  Moments& moments(int rank, uint64_t call) {
    return seats_[static_cast<size_t>(rank)].moments[call % 2];
  }

  // --- Mailboxes, one for each ordered pair of ranks, which hold one message at a time.

  // A message on its way. Destroyed before it was delivered, it is taken back, so that nobody reads
  // memory that its owner has freed.
  class Message {
   public:
    // Shows `data` to rank `to`, who copies it from there. `device`: of the sender.
    Message(ThreadGroup& group, int from, int to, std::span<const std::byte> data, const Post& post,
            Device& device);
    ~Message();
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;
    void wait_until_copied();

   private:
    ThreadGroup& group_;
    const int from_, to_;
    const Post& post_;
    Device& device_;
    uint64_t idle_;  // the mailbox's state before this message
    bool delivered_ = false;
  };

  // Waits for a message, checks that it is of `to`'s size and post's dtype, and copies it.
  void receive(int rank, int from, std::span<std::byte> to, const Post& post, Device& device);

  // What a rank says between two rendezvous (Agreement::gather).
  std::string& said(int rank) { return seats_[static_cast<size_t>(rank)].said; }

  // --- Splitting.

  // What each rank asks for, and the group it gets (null for a negative color).
  struct Part {
    int color = 0, key = 0;
    std::shared_ptr<ThreadGroup> group;
  };
  Part& part(int rank) { return seats_[static_cast<size_t>(rank)].part; }
  // The ranks of `color`, by (key, rank). Valid between two rendezvous after all wrote their part.
  std::vector<int> ranks_of_color(int color) const;
  std::shared_ptr<ThreadGroup> make_part(const std::vector<int>& ranks) const;

 private:
  struct alignas(128) Seat {
    std::array<Post, 2> posts;
    std::array<Moments, 2> moments;
    Part part;
    std::string said;
  };
  // Message k of a pair: 3k idle, 3k+1 the sender waits, 3k+2 the receiver copies, 3k+3 idle again.
  struct alignas(128) Mailbox {
    std::atomic<uint64_t> state{0};
    std::span<const std::byte> data;
    Post post;
    std::shared_ptr<void> sent, copied;  // as Moments
  };

  const Seat& seat(int rank) const { return seats_[static_cast<size_t>(rank)]; }
  Mailbox& mailbox(int from, int to) {
    return mailboxes_[static_cast<size_t>(from) * members_.size() + static_cast<size_t>(to)];
  }
  [[noreturn]] void fail_disagreement(uint64_t call);
  [[noreturn]] void fail_message(int from, const Post& sent, int to, const Post& expected);

  std::shared_ptr<Board> board_;
  std::vector<int> members_;
  Axis axis_;
  RankSet member_set_ = 0;
  std::string name_;  // " among ranks 1, 3"; empty for the whole world
  std::vector<Seat> seats_;
  std::vector<Mailbox> mailboxes_;
  alignas(128) std::atomic<uint64_t> arrivals_{0};  // of all rounds together
};

}  // namespace tplab
